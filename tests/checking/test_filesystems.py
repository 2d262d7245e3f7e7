"""The check on real filesystems and on real broken ones: the verdict for every guarantee, held against a table."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import pytest

from lab.checking.guarantees import LOCKS
from lab.checking.request import PARTS
from tests.checking.expected import ADVICE, BREAKS, EXPECTED
from tests.checking.mounts import BAD_INPUT, FILESYSTEMS, LIKE
from tests.helpers import EXHAUSTIVE, PATIENCE, run_lab

pytestmark = [pytest.mark.mounts, pytest.mark.timeout(300)]

SECONDS = {"fuse_lies_1000": 6, "fuse_lies_1000_two": 6, "fuse_honest_two": 4}
"""For random programs and stress; what breaks by chance takes longer to be met, and a busy machine has fewer rounds."""


def checked(name: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the document of a check; afterwards only the stuck have left anything in the directories."""
    with ExitStack() as stack:
        directories = stack.enter_context(FILESYSTEMS[name]())
        before = [list(directory.iterdir()) for directory in directories]
        common = ("--seconds", str(SECONDS.get(name, 2) * PATIENCE), "--json", "-", "--no-save")
        ended = run_lab("check", *directories, *common, *options, timeout=280 * PATIENCE)
        document = json.loads(ended.stdout)
        if not document["stuck"]:
            assert [list(directory.iterdir()) for directory in directories] == before
    return ended.returncode, document


BY_CHANCE = {("fuse_lies_1000", 67): ("posix", 1e-3)}
"""What breaks only where enough requests met a holder: the guarantee, and one in how many is granted falsely."""


def is_sure(document: dict[str, Any], guarantee: str, rate: float) -> bool:
    """Whether so many requests met a holder that 1 check in 8,000 misses it: three times as many as for 95 %."""
    (limit,) = [each["detection_limit"] for each in document["guarantees"] if each["name"] == guarantee]
    return limit is not None and limit <= rate / 3


CHECKED = [name for name in EXPECTED if EXHAUSTIVE or name not in LIKE]
"""Those of the table that are checked here."""


@pytest.mark.parametrize("name", CHECKED)
def test_the_verdicts_are_those_of_the_table(name: str) -> None:
    code, document = checked(name)
    verdicts = {each["name"]: each["verdict"] for each in document["guarantees"]}
    expected = {guarantee: verdict or verdicts[guarantee] for guarantee, verdict in EXPECTED[name].items()}
    assert verdicts == expected, json.dumps([each for each in document["guarantees"] if each["evidence"]], indent=1)
    broken = {rule["number"] for rule in document["rules"] if rule["verdict"] == "unsafe"}
    sure = BREAKS.get(name.removesuffix("_two"), BREAKS.get(name, set()))
    assert broken >= {
        rule for rule in sure if (name, rule) not in BY_CHANCE or is_sure(document, *BY_CHANCE[name, rule])
    }
    inconclusive = "enosys" in name or "unknown" in verdicts.values()  # what the table leaves open may be unknown
    assert code == (1 if "unsafe" in verdicts.values() else 3 if inconclusive else 0)
    assert document["safe"] == (code == 0)
    words, others = ADVICE.get(name, ("", ()))
    advice = "\n".join(document["advice"])
    assert words in advice, advice
    assert [other for other in others if other in advice] == []


def test_most_requests_for_a_lock_file_meet_a_holder_where_calls_wait_for_one_another() -> None:
    _, document = checked("bindfs", "--only", "o_excl,mkdir,link")
    met = {row["guarantee"]: row["case"] for row in document["stress"]}
    assert {*met} == {"o_excl", "mkdir", "link"}
    assert [name for name, row in met.items() if row["contended_requests"] < row["operations"] / 2] == []


def test_the_rules_alone_find_a_bind_mount_safe() -> None:
    code, document = checked("bind_pair", "--only", "rules")
    assert {each["name"]: each["verdict"] for each in document["guarantees"]} == dict.fromkeys(PARTS["rules"], "safe")
    assert (code, document["safe"]) == (0, True)


@pytest.mark.parametrize("name", LIKE)
def test_a_filesystem_is_left_out_only_where_the_table_says_of_its_locks_what_it_says_of_another(name: str) -> None:
    one, other = (EXPECTED[each] for each in (name, LIKE[name]))
    assert {lock: one[lock] for lock in LOCKS} == {lock: other[lock] for lock in LOCKS}


def test_every_filesystem_of_the_tests_has_its_row() -> None:
    assert set(EXPECTED) == set(FILESYSTEMS) - BAD_INPUT


def test_every_broken_server_has_a_rule_that_names_it() -> None:
    broken = {name for name, verdicts in EXPECTED.items() if "unsafe" in verdicts.values() or "lies" in name}
    assert {name for name in broken if not {name, name.removesuffix("_two")} & set(BREAKS)} == set()
