from __future__ import annotations

import re
from ctypes import c_uint64
from dataclasses import replace
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from lab.errors import UsageError
from lab.explore.token import Token, Turn, differs, fingerprint, make, read, scenario_of, where
from lab.explore.trace import trace
from lab.records import Step
from lab.scenario import Found, find_scenarios
from tests.explore.worlds import scenario_of as made_of
from tests.explore.worlds import world
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


def test_a_token_comes_back_from_its_text() -> None:
    assert read(str(token())) == token()


def test_blanks_and_line_ends_around_a_token_are_forgiven() -> None:
    assert read(f"  {token()}\n") == token()


def test_a_token_has_the_schedule() -> None:
    assert token().schedule == b"\0\1\1\0"


def test_a_token_is_the_same_whenever_it_is_made() -> None:
    found, steps = failure()
    assert make(found, "none", 2, 1, 64, list(steps)) == token()


def test_locks_that_are_never_granted_are_no_steps_of_the_schedule() -> None:
    made = world("opposite_order", "ofd")
    steps, _ = trace(made, b"\0\1")
    assert len(steps) == 4
    assert make(made.shape.found, "ofd", 2, 1, 64, steps).schedule == b"\0\1"


@pytest.mark.parametrize("character", "0x,9a:")
def test_every_single_character_that_was_mistyped_is_noticed(character: str) -> None:
    text = str(token())
    for at in range(len(text)):
        if text[at] != character:
            with pytest.raises(UsageError):
                read(text[:at] + character + text[at + 1 :])


def test_every_single_character_that_is_missing_is_noticed() -> None:
    text = str(token())
    for at in range(len(text)):
        with pytest.raises(UsageError):
            read(text[:at] + text[at + 1 :])


def test_every_character_that_was_typed_twice_is_noticed() -> None:
    text = str(token())
    for at in range(len(text)):
        with pytest.raises(UsageError):
            read(text[:at] + text[at] + text[at:])


def test_a_token_cut_short_anywhere_at_its_end_is_refused_in_one_line() -> None:
    text = str(token())
    for length in range(len(text)):
        with pytest.raises(UsageError) as raised:
            read(text[:length])
        assert "\n" not in str(raised.value)


def test_a_token_cut_short_anywhere_at_its_beginning_is_refused() -> None:
    text = str(token())
    for start in range(1, len(text)):
        with pytest.raises(UsageError):
            read(text[start:])


def test_a_token_cut_short_is_told_as_that() -> None:
    with pytest.raises(UsageError, match="cut short or mistyped: its checksum does not fit; paste the whole of it"):
        read(str(token())[:-1])


@pytest.mark.parametrize("version", ["L0", "L2", "L10"])
def test_a_token_of_another_version_is_told_as_that(version: str) -> None:
    with pytest.raises(UsageError, match=f"of version {version}, this lab reads L1; make a new one"):
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


def test_a_file_with_the_name_of_a_built_in_scenario_goes_by_its_path(tmp_path: Path) -> None:
    path = str(written(tmp_path / "counter.py"))
    assert in_fresh_process(places, [path]) == [path]


def test_files_of_one_name_in_two_folders_go_by_their_own_paths(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        written(tmp_path / name / "mine.py")
    paths = [f"{tmp_path}/{name}/mine.py" for name in "ab"]
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


def changed(tmp_path: Path, before: str, after: str) -> bool:
    """Whether the fingerprint is another one once the file has been changed so."""
    marks = []
    for number, text in enumerate((SCENARIO, SCENARIO.replace(before, after))):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        marks.append(of_file(written(folder / "mine.py", text)).fingerprint)
    return marks[0] != marks[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    def work", "    # more words\n\n    def work"),
        ("\n\n\nclass Fixed", "\n# a comment in the first column\nclass Fixed"),
        ("+= 1  # here", "+= 1  # here   "),
    ],
)
def test_comments_and_blank_lines_leave_the_fingerprint_alone(before: str, after: str, tmp_path: Path) -> None:
    assert not changed(tmp_path, before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [("+= 1", "+= 2"), ('"value", c_uint64', '"number", c_uint64'), ("        w.memory", "        if 1: w.memory")],
)
def test_code_that_changed_changes_the_fingerprint(before: str, after: str, tmp_path: Path) -> None:
    assert changed(tmp_path, before, after)


def test_a_scenario_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.py")
    made = of_file(path)
    path.write_text(path.read_text().replace("+= 1", "+= 2"))
    with pytest.raises(UsageError, match=r"has changed since the token was made; make a new one"):
        scenario_of(made)


def test_a_scenario_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such scenario file"):
        scenario_of(replace(token(), scenario=str(tmp_path / "gone.py")))


def test_the_steps_that_it_was_made_of_do_not_differ() -> None:
    assert differs(token(), failure()[1]) == ""


def test_other_operations_are_told_with_the_step_and_the_worker() -> None:
    other, _ = trace(world(made_of(lambda _, w: setattr(w.memory, "value", 1))), b"\0\1")
    first = failure()[1][0]
    assert differs(token(), [first, *other, *other]) == (
        "from step 2 on, worker 1 does other operations than when the token was made"
    )


def test_fewer_steps_are_told_with_where_they_end() -> None:
    assert differs(token(), failure()[1][:3]).startswith("from step 4 on, worker 0 does other")


def test_other_bytes_are_other_operations() -> None:
    fields = ("first", c_uint64), ("value", c_uint64)

    def work(_: object, w: object) -> None:
        w.memory.value += 1  # type: ignore[attr-defined]

    steps, _ = trace(world(made_of(work, *fields)), b"\0\1\1\0")
    assert differs(token(), steps).startswith("from step 1 on, worker 0 does other")


def test_the_values_do_not_count_for_they_follow_from_the_operations() -> None:
    steps, _ = trace(world("check_then_lock"), b"\0\1\1\0")
    assert differs(token(), steps) == ""


def test_a_token_of_the_gallery_does_not_depend_on_where_the_lab_lies() -> None:
    assert str(ROOT) not in str(token())


def test_a_file_that_is_another_by_now_is_not_run_to_find_that_out(tmp_path: Path) -> None:
    """A token may come from anybody, and name any file."""
    made = of_file(written(tmp_path / "mine.py"))
    harm = tmp_path / "harm"
    other = tmp_path / "other.py"
    other.write_text(f"{dedent(SCENARIO)}\nfrom pathlib import Path\nPath({str(harm)!r}).touch()\n")
    with pytest.raises(UsageError, match="has changed since the token was made"):
        scenario_of(replace(made, scenario=str(other)))
    other.write_text("what is no Python\x00")
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
