"""The long tests begin first, in every second process, and no test is lost."""

from __future__ import annotations

import pytest

from tests.helpers import ROOT
from tests.order import LONGEST_FIRST, deal


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("short", [0, 5, 100])
def test_every_test_is_dealt_once(processes: int, short: int) -> None:
    modules = [*["tests/test_short.py"] * short, *LONGEST_FIRST]
    assert sorted(deal(range(len(modules)), modules, processes)) == list(range(len(modules)))


def test_every_second_process_begins_with_long_tests_the_longest_first() -> None:
    modules = [*["tests/test_short.py"] * 71, *reversed(LONGEST_FIRST)]
    dealt = deal(modules, modules, 4)
    blocks = [dealt[start : start + 20] for start in range(0, 80, 20)]
    assert blocks[0][:5] == list(LONGEST_FIRST[::2])
    assert blocks[2][:4] == list(LONGEST_FIRST[1::2])
    assert set(blocks[1] + blocks[3]) == {"tests/test_short.py"}


def test_one_process_keeps_the_order() -> None:
    assert deal([1, 2], ["tests/test_short.py", LONGEST_FIRST[0]], 1) == [1, 2]


def test_the_long_modules_are_there() -> None:
    assert [name for name in LONGEST_FIRST if not (ROOT / name).is_file()] == []
