"""What a child does now, as its parent reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.processes import Activity, doing, fork_child, note, note_hang


@pytest.fixture
def page() -> Iterator[Activity]:
    """Installed in this process, which then reads its own notes."""
    made = Activity()
    made.install()
    yield made
    Activity._installed = None


def test_a_note_says_what_is_done_by_whom_and_since_when(page: Activity) -> None:
    note("unlink caf\u00e9 \udcff", 60.0)
    deed = page.read()
    assert (deed.what, deed.pid, round(deed.limit_s)) == ("unlink caf\u00e9 \udcff", os.getpid(), 60)
    assert page.overdue() is None


def test_what_takes_longer_than_it_may_is_overdue(page: Activity) -> None:
    assert page.overdue() is None
    note("unlink", 0.0)
    deed = page.overdue()
    assert deed is not None
    assert deed.what == "unlink"


def test_after_a_block_what_was_done_before_goes_on_with_its_time(page: Activity) -> None:
    note("a race", 60.0)
    with doing("making a file", 0.0):
        assert page.read().what == "making a file"
    assert (page.read().what, page.overdue()) == ("a race", None)


def test_a_text_that_is_too_long_is_cut(page: Activity) -> None:
    note_hang("y" * 10_000)
    note("x" * 10_000, 1.0)
    assert (set(page.read().what), set(page.hang())) == ({"x"}, {"y"})


def test_what_hung_first_stays_whichever_process_noted_it(page: Activity) -> None:
    assert page.hang() == ""
    pid = fork_child(lambda: note_hang("A: read f 0 8 = no answer in 2 s, asleep in a_place"))
    os.waitpid(pid, 0)
    note_hang("B: open f = no answer in 2 s")
    assert page.hang() == "A: read f 0 8 = no answer in 2 s, asleep in a_place"


def test_nothing_is_noted_where_nobody_reads() -> None:
    note("unlink", 1.0)
    note_hang("unlink")
    with doing("mkdir", 1.0):
        pass
    assert Activity().read().what == ""
