"""What the page lets a reader crash: every file that may be left is there, and comes to what the explorer says."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest

from lab.exploring.crash.plug import plugs
from lab.exploring.crash.search import Search
from lab.records import Plug
from tests.exploring.test_crash import BUGS, explored

PLUGS = {each.scenario: each for each in plugs()}
NEEDS_MORE = {
    "undo_journal:recovery_clears_early", "saved_by_rename:leftover_reused",  # two crashes
    "undo_journal:nobody_looks", "saved_by_rename:one_name_beside", "saved_by_rename:locks_the_saved",
}  # fmt: skip
"""The mistakes that one power failure of one worker does not bring out."""


def test_the_page_has_the_gallery_and_its_mistakes() -> None:
    right = {name.partition(":")[0] for name in BUGS}
    assert set(PLUGS) == (right | set(BUGS)) - NEEDS_MORE


def breaks(plug: Plug) -> set[str]:
    return {plug.texts[each.wrong] for each in plug.found if each.wrong >= 0}


@pytest.mark.parametrize("name", PLUGS)
def test_what_is_found_is_what_the_explorer_finds(name: str) -> None:
    plug = PLUGS[name]
    case = explored(name, "power", 1, plug.rounds, crashes=1)
    assert (case.headline in breaks(plug)) == (case.verdict == "broken")
    assert bool(breaks(plug)) == (":" in name)


@pytest.mark.parametrize("plug", PLUGS.values(), ids=PLUGS)
def test_the_tables_fit(plug: Plug) -> None:
    assert len(plug.moments) == len(plug.steps) + 1
    for number, place in enumerate(plug.moments):
        left = plug.left[place]
        assert len(left.found) == prod(len(part) // 2 for part in left.parts)
        for part in left.parts:
            since = part[2::2]
            assert all(one < two for one, two in pairwise(since))
            assert since[-1] <= number
    assert all(each.reasons for each in plug.found if each.wrong >= 0)


def test_the_reason_of_a_choice_is_that_of_its_own() -> None:
    plug = PLUGS["saved_by_rename:renamed_unsynced"]
    left = plug.left[plug.moments[7]]
    assert [plug.texts[part[0]] for part in left.parts] == [
        "the name settings", "the name settings.new", "length of file 2", "bytes of file 2",
    ]  # fmt: skip
    empty, zeros = (plug.found[left.found[at]] for at in (0b1000, 0b1010))  # of each part the old or the new one
    assert [plug.texts[each.wrong] for each in (empty, zeros)] == [
        "file not whole: settings is empty", "file not whole: settings holds 10 zeros",
    ]  # fmt: skip
    assert plug.found[left.found[0b1111]].wrong == -1
    assert plug.texts[empty.reasons[0]].startswith("step 7 (rename settings.new -> settings) reached the disk and")


def test_a_recovery_that_is_not_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Search, "recovered", lambda *_: None)
    assert all(":" not in each.scenario for each in plugs())
