from __future__ import annotations

import re
from collections.abc import Callable
from ctypes import c_uint64
from dataclasses import replace
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from lab.errors import UsageError
from lab.exploring.token import Token, Turn, differs, fingerprint, make, read, scenario_of, where
from lab.exploring.trace import trace
from lab.records import Step
from lab.scenario import Found, find_scenarios
from tests.exploring.worlds import scenario_of as made_of
from tests.exploring.worlds import world
from tests.helpers import ROOT, in_fresh_process

SCENARIO = '''
"""A scenario of a user's own."""
from ctypes import Structure, c_uint64
from lab import Damage, Scenario


class Mine(Scenario):
    """Add 1."""

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def work(self, w):
        w.memory.value += 1  # here

    def check(self, memory, outcome):
        return Damage("lost update", outcome.rounds - memory.value, outcome.rounds)


class Fixed(Mine):
    """Fixed by nothing."""
'''


@cache
def failure() -> tuple[Found, list[Step]]:
    """The counter, and the steps of its shortest failure."""
    made = world("counter")
    return made.shape.found, trace(made, b"\0\1\1\0")[0]


@cache
def token() -> Token:
    """The token of that failure."""
    found, steps = failure()
    return make(found, "none", 2, 1, 64, steps)


def written(path: Path, text: str = SCENARIO) -> Path:
    path.write_text(dedent(text))
    return path


def of_file(path: Path, variant: str = "") -> Token:
    """The token of the same failure in a scenario of a user's own."""
    found = find_scenarios([f"{path}{variant}"])[0]
    return make(found, "none", 2, 1, 64, failure()[1])


def test_a_token_is_one_word_that_names_its_version_scenario_lock_shape_and_turns() -> None:
    assert re.fullmatch(
        r"L1,counter,none,2x1,64,[0-9a-f]{8},0x1\.[0-9a-f]{3}\+1x2\.[0-9a-f]{3}\+0x1\.[0-9a-f]{3},[0-9a-f]{4}",
        str(token()),
    )
    assert token().schedule == b"\0\1\1\0"


def test_a_token_comes_back_from_its_text_and_blanks_around_it_are_forgiven() -> None:
    assert read(str(token())) == read(f"  {token()}\n") == token()


def test_a_token_is_the_same_whenever_it_is_made() -> None:
    found, steps = failure()
    assert make(found, "none", 2, 1, 64, list(steps)) == token()


def test_locks_that_are_never_granted_are_no_steps_of_the_schedule() -> None:
    made = world("opposite_order", "ofd")
    steps, _ = trace(made, b"\0\1")
    assert len(steps) == 4
    assert make(made.shape.found, "ofd", 2, 1, 64, steps).schedule == b"\0\1"


MISTAKES: dict[str, Callable[[str, int], str]] = {
    "missing": lambda text, at: text[:at] + text[at + 1 :],
    "typed twice": lambda text, at: text[:at] + text[at] + text[at:],
    "cut short at the end": lambda text, at: text[:at],
    "cut short at the beginning": lambda text, at: text[at + 1 :],
    **{f"mistyped as {other}": lambda text, at, other=other: text[:at] + other + text[at + 1 :] for other in "0x,9a:"},  # type: ignore[misc]
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_at_any_character_is_refused_in_one_line(mistake: Callable[[str, int], str]) -> None:
    text = str(token())
    wrong = {mistake(text, at) for at in range(len(text))} - {text}
    assert len(wrong) > len(text) / 2
    for each in wrong:
        with pytest.raises(UsageError) as raised:
            read(each)
        assert "\n" not in str(raised.value)


def test_a_token_cut_short_is_told_as_that() -> None:
    with pytest.raises(UsageError, match="cut short or mistyped: its checksum does not fit; paste the whole of it"):
        read(str(token())[:-1])


@pytest.mark.parametrize("version", ["L0", "L3", "L10"])
def test_a_token_of_another_version_is_told_as_that(version: str) -> None:
    with pytest.raises(UsageError, match=f"of version {version}, this lab reads L1 and L2; make a new one"):
        read(str(token()).replace("L1,", f"{version},"))


@pytest.mark.parametrize("text", ["", " ", "counter", "0x1+1x2", "results/reference.json", "l1,counter"])
def test_what_is_no_token_is_told_as_that(text: str) -> None:
    with pytest.raises(UsageError, match="is no token: they begin with L1"):
        read(text)


@pytest.mark.parametrize("name", ["mine.py", "with spaces.py", "with,comma.py", "a+b x 50%.py", "größe.py"])
def test_a_token_finds_the_file_of_a_scenario_whatever_its_name(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / name)
    made = of_file(path)
    assert re.fullmatch(r"[^\s]+", str(made))
    assert read(str(made)) == made
    assert read(str(made)).scenario == str(path)
    assert scenario_of(read(str(made))).kind.__name__ == "Mine"


def test_a_path_below_the_working_directory_is_kept_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    assert of_file(path).scenario == "mine.py"


def test_a_variant_is_named_after_a_colon(tmp_path: Path) -> None:
    made = read(str(of_file(written(tmp_path / "mine.py"), ":fixed")))
    assert made.scenario == f"{tmp_path / 'mine.py'}:fixed"
    assert scenario_of(made).kind.__name__ == "Fixed"


def test_a_built_in_scenario_goes_by_its_name_and_its_variant() -> None:
    (found,) = find_scenarios(["short_range:fixed"])
    made = read(str(make(found, "fcntl", 2, 1, 64, failure()[1])))
    assert made.scenario == "short_range:fixed"
    assert scenario_of(made).kind is found.kind


def test_files_of_one_name_and_one_named_as_a_built_in_scenario_go_by_their_own_paths(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    paths = [str(written(tmp_path / name)) for name in ("counter.py", "a/mine.py", "b/mine.py")]
    assert in_fresh_process(places, paths) == paths


def places(names: list[str]) -> list[str]:
    """What finds the first scenario of each name again, once all have been loaded."""
    return [where(found) for found in [find_scenarios([name])[0] for name in names]]


def test_every_built_in_scenario_is_found_again_by_its_token() -> None:
    for found in find_scenarios([], counterexamples=True):
        made = read(str(make(found, "none", 2, 1, 64, failure()[1])))
        assert scenario_of(made).kind is found.kind


def test_variants_of_one_file_have_fingerprints_of_their_own() -> None:
    counterexample, fixed = find_scenarios(["short_range"])
    assert fingerprint(counterexample) != fingerprint(fixed)


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("    def work", "    # more words\n\n    def work", False),
        ("\n\n\nclass Fixed", "\n# a comment in the first column\nclass Fixed", False),
        ("+= 1  # here", "+= 1  # here   ", False),
        ("+= 1", "+= 2", True),
        ('"value", c_uint64', '"number", c_uint64', True),
        ("        w.memory", "        if 1: w.memory", True),
    ],
)
def test_only_code_changes_the_fingerprint(before: str, after: str, changed: bool, tmp_path: Path) -> None:
    marks = []
    for name, text in (("a", SCENARIO), ("b", SCENARIO.replace(before, after))):
        (tmp_path / name).mkdir()
        marks.append(of_file(written(tmp_path / name / "mine.py", text)).fingerprint)
    assert (marks[0] != marks[1]) is changed


def test_a_scenario_that_has_changed_since_or_is_gone_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.py")
    made = of_file(path)
    path.write_text(path.read_text().replace("+= 1", "+= 2"))
    with pytest.raises(UsageError, match=r"has changed since the token was made; make a new one"):
        scenario_of(made)
    with pytest.raises(UsageError, match="no such scenario file"):
        scenario_of(replace(token(), scenario=str(tmp_path / "gone.py")))


def add(_: object, w: Any) -> None:
    w.memory.value += 1


def test_other_operations_are_told_with_the_first_step_that_differs_and_its_worker() -> None:
    steps = failure()[1]
    other, _ = trace(world(made_of(lambda _, w: setattr(w.memory, "value", 1))), b"\0\1")
    elsewhere, _ = trace(world(made_of(add, ("first", c_uint64), ("value", c_uint64))), b"\0\1\1\0")
    assert differs(token(), steps) == ""
    assert differs(token(), [steps[0], *other, *other]) == (
        "from step 2 on, worker 1 does other operations than when the token was made"
    )
    assert differs(token(), steps[:3]).startswith("from step 4 on, worker 0 does other")
    assert differs(token(), elsewhere).startswith("from step 1 on, worker 0 does other")


def test_the_values_do_not_count_for_they_follow_from_the_operations() -> None:
    steps, _ = trace(world("check_then_lock"), b"\0\1\1\0")
    assert differs(token(), steps) == ""


def test_a_token_of_the_gallery_does_not_depend_on_where_the_lab_lies() -> None:
    assert str(ROOT) not in str(token())


def test_a_file_that_is_another_by_now_is_not_run_to_find_that_out(tmp_path: Path) -> None:
    """A token may come from anybody, and name any file."""
    made = of_file(written(tmp_path / "mine.py"))
    harm, other = tmp_path / "harm", tmp_path / "other.py"
    for text in (f"{dedent(SCENARIO)}\nfrom pathlib import Path\nPath({str(harm)!r}).touch()\n", "no Python\x00"):
        other.write_text(text)
        with pytest.raises(UsageError, match="has changed since the token was made"):
            scenario_of(replace(made, scenario=str(other)))
    assert not harm.exists()


def test_a_class_in_a_function_has_its_fingerprint_too(tmp_path: Path) -> None:
    text = "\n".join(f"    {line}" for line in dedent(SCENARIO).splitlines())
    path = tmp_path / "made.py"
    path.write_text(f"def make():\n{text}\n    Mine.__module__ = __name__\n    return Mine\n\n\nMine = make()\n")
    assert scenario_of(of_file(path)).kind.__qualname__ == "make.<locals>.Mine"


@pytest.mark.parametrize(
    "changes",
    [
        {"workers": 1 << 30},
        {"rounds": 1 << 60},
        {"line": 0},
        {"turns": tuple(Turn(0, 10**6, "abc") for _ in range(100))},
    ],
)
def test_a_token_that_asks_for_more_than_any_schedule_has_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        read(str(replace(token(), **changes)))
