"""One check: which parts run, and what the document has of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab.checking import run
from lab.checking.actors import pool
from lab.checking.request import request_for
from lab.checking.rules import RULES
from lab.checking.runner import Rule
from lab.checking.stress.plan import planned
from lab.checking.verdict.judge import not_asked
from lab.host.environment import RunStart
from lab.locking import RECORDER
from lab.records import CheckOptions, Mount, RuleResult, StressResult
from tests.checking.running import (
    SECONDS,
    WORKERS,
    Told,
    check_in,
    checked,
    left_in,
    numbers,
    raced_for,
    results,
    verdicts,
    watch_random_programs,
)
from tests.helpers import OtherProcess, in_fresh_process
from tests.report.checked_records import case, race, rule

STRESSED = [rule.number for rule in RULES if rule.part == "stress"]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Told]]:
    """The document of a check of these guarantees and parts, each made once."""
    with OtherProcess() as other:
        yield cache(lambda *only: other.call(checked, str(tmp_path_factory.mktemp("check")), only))


MODES = [24, 25, 27, 28, 29]


PARTS: dict[str, tuple[list[str], Callable[[list[int]], bool], set[str]]] = {
    "rules": (["modes", "rules"], lambda found: found == MODES, set()),
    "a guarantee that neither stress nor random programs judge": (["modes"], lambda found: found == MODES, set()),
    "faults": (["posix", "faults"], lambda found: found == [74, 75], set()),
    "random": (["random"], lambda found: found == [], {"random"}),
    "stress": (["mapping", "stress"], lambda found: found == sorted(raced_for("mapping")), {"stress"}),
    "all for a guarantee": (
        ["posix", "deadlock"],
        lambda found: found == sorted(found) and {18, 44, 59, 74} | raced_for("posix") < set(found),
        {"random", "stress"},
    ),
}


@pytest.mark.parametrize("about", PARTS)
def test_no_other_part_is_run_than_that_of(about: str, check: Callable[..., Told]) -> None:
    only, right, parts = PARTS[about]
    found = check(*only)
    assert right(numbers(found)), numbers(found)
    assert {part for part in ("random", "stress") if found[part]} == parts
    assert (found["random"] is None, found["stress"] == []) == ("random" not in parts, "stress" not in parts)
    assert (found["interrupted"], found["left"], found["children"]) == (False, [], 0)
    assert found["environment"]["recorder"] == RECORDER


def test_what_was_asked_and_found_safe_makes_the_document_safe(check: Callable[..., Told]) -> None:
    found = check("modes", "posix", "rules")
    assert (verdicts(found), found["safe"]) == ({"posix": "safe", "modes": "safe"}, True)
    assert not {*numbers(found)} & {*STRESSED}, "which only the stress can judge"


def test_every_performed_rule_every_race_and_the_random_programs_are_told_before_they_begin(
    check: Callable[..., Told],
) -> None:
    told = check("posix", "deadlock")["told"]
    rules = [title for title in told if title.startswith("rule ")]
    races = [title for title in told if title.startswith("stress for ")]
    assert told == [*rules, *races, "random programs"]
    request = request_for(["posix", "deadlock"])
    assert (len(set(rules)), len(races)) == (len(run.performed(request)), len(planned(request.guarantees)))


def test_rules_that_may_harm_a_mount_come_last_those_on_deadlocks_before_them_and_the_others_by_their_numbers() -> None:
    rules = run.performed(request_for([]))
    ranks = [(bool(rule.risk), rule.guarantee == "deadlock", rule.number) for rule in rules]
    assert ranks == sorted(ranks)
    assert {deadlock for _, deadlock, _ in ranks} == {True, False}
    assert [rule.number for rule in rules if rule.risk] == [43]


NETWORK: list[tuple[list[str], bool, bool]] = [
    (["ext4"], False, True),
    (["ext4", "tmpfs"], False, True),
    (["nfs4"], False, False),
    (["ext4", "fuse"], False, False),
    (["fuse.glusterfs", "fuse.glusterfs"], True, True),
]
"""Kinds of mounts, whether faults are asked for, and whether the rule is performed that may harm a mount."""


def test_what_may_harm_a_network_mount_is_asked_there_only_with_faults(tmp_path: Path) -> None:
    found = in_fresh_process(results, __name__, "with_mounts", [[str(tmp_path), *row[:2]] for row in NETWORK])
    assert [43 in each["numbers"] for each in found] == [asked for *_, asked in NETWORK]
    said = [[words for words in each["not_asked"] if words.startswith("rule 43, for it signals")] for each in found]
    assert [len(words) for words in said] == [int(not asked) for *_, asked in NETWORK]
    assert all(words in ([], each["not_asked"][-1:]) for words, each in zip(said, found, strict=True))


@pytest.mark.parametrize(("directories", "said"), [(1, True), (2, False)])
def test_what_no_check_asks_is_said_and_on_one_mount_that_other_hosts_were_not_tried(
    directories: int, said: bool
) -> None:
    told = not_asked(request_for([]), several=directories > 1, left_out=[])
    assert any(each.startswith("what another host sees") for each in told) is said
    assert any(each.startswith("what a crash or a power loss leaves") for each in told)


def with_mounts(directory: str, kinds: list[str], faults: bool) -> dict[str, Any]:
    """The rules that are performed where the mounts are of these kinds, and what is said not to have been asked."""
    given: list[int] = []

    def judge_all(rules: Sequence[Rule], *_: object) -> Iterator[RuleResult]:
        given.extend(each.number for each in rules)
        yield rule(39, "blocking")

    mounts = [Mount(directory, kind, "rw") for kind in kinds]
    vars(run).update(judge_all=judge_all)
    vars(pool).update(mounts_of=lambda _: mounts)
    options = CheckOptions([directory] * len(kinds), ["blocking", "rules", "faults"], 1, 0, 2, faults=faults)
    request, found = request_for(options.only), run.Found()
    run.run_parts(request, options, [Path(directory)] * len(kinds), found.keep, lambda _: None)
    done = run.document(options, request, found, mounts, RunStart(), run.Ending())
    return {"numbers": given, "not_asked": done.not_asked}


def test_the_rules_alone_ask_for_each_guarantee_that_they_judge() -> None:
    request = request_for(["rules"])
    assert {rule.guarantee for rule in run.performed(request)} == set(request.guarantees)


SHARES = [(["posix"], 5.0, 3.0), (["posix", "stress"], 8.0, None), (["posix", "random"], None, 8.0)]


def shares(directory: str, only: list[str]) -> list[Any]:
    """The seconds that stress and random programs get of 8, and how many actors are there when the stress begins."""
    given: dict[str, float] = {}

    def stress(_: object, __: object, seconds: float, *___: object) -> list[StressResult]:
        given.update(stress=seconds, children=left_in(Path(directory))["children"])
        return []

    watch_random_programs(lambda _, seconds: given.update(random=seconds))
    vars(run).update(stress=stress)
    checked(directory, only, seconds=8)
    return [given.get("stress"), given.get("random"), given.get("children", 0)]


def test_stress_and_random_programs_share_the_seconds_and_no_actor_disturbs_the_stress(tmp_path: Path) -> None:
    found = in_fresh_process(results, __name__, "shares", [[str(tmp_path), only] for only, *_ in SHARES])
    assert found == [[stress, random, 0] for _, stress, random in SHARES]


def test_the_stress_judges_the_rules_that_no_program_shows(check: Callable[..., Told]) -> None:
    found = check("stress")
    assert numbers(found) == STRESSED
    assert {(each["verdict"], each["observed"].startswith("as demanded in ")) for each in found["rules"]} == {
        ("safe", True)
    }


@pytest.mark.parametrize("only", [["mapping", "stress"], ["neighbours", "flock", "stress"]])
def test_those_that_no_race_for_what_is_asked_shows_are_not_there_and_the_others_count_for_it(
    only: list[str], check: Callable[..., Told]
) -> None:
    found = check(*only)
    assert set(numbers(found)) == raced_for(*only)
    assert {each["guarantee"] for each in found["rules"]} <= {*only}
    assert {each["verdict"] for each in found["rules"]} == {"safe"}


def with_false_deadlocks(directory: str, count: int) -> Told:
    """A check whose stress had so many requests answered with EDEADLK."""
    row = race("posix", raced=case(false_deadlocks=count))
    vars(run).update(stress=lambda *_: [row])
    return checked(directory, ["deadlock", "posix", "rules", "stress"])


def test_a_deadlock_that_the_stress_met_breaks_rule_46(tmp_path: Path) -> None:
    found = in_fresh_process(results, __name__, "with_false_deadlocks", [[str(tmp_path), count] for count in (0, 5)])
    for each, verdict in zip(found, ("safe", "unsafe"), strict=True):
        assert {rule["number"]: rule["verdict"] for rule in each["rules"]}[46] == verdict
        assert verdicts(each) == {"posix": "safe", "deadlock": verdict}


def reasons_of_a_failing_stress(directory: str) -> list[str]:
    """All that the document tells of a check in a folder of its own, whose workers raise at a file of theirs."""
    from lab.racing import ahead

    folder = Path(directory, "lab-check-1-2")
    folder.mkdir()

    class Failing:
        def __init__(self, job: Any, index: int) -> None:
            raise OSError(5, "Input/output error", job.path)

    vars(ahead).update(RaceWorker=Failing)
    options = CheckOptions([directory], ["pread", "stress"], SECONDS, 0, WORKERS)
    done = check_in(folder, options, lambda _: None)
    reasons = [row.case.reason for row in done.stress]
    return [*reasons, *done.guarantees[0].evidence, *(each.reason for row in done.stress for each in row.case.failures)]


def test_what_the_document_tells_of_a_place_is_told_by_its_own_name(tmp_path: Path) -> None:
    told = in_fresh_process(reasons_of_a_failing_stress, str(tmp_path))
    assert all(str(tmp_path) in reason for reason in told)
    assert [reason for reason in told if "lab-check-" in reason] == []
