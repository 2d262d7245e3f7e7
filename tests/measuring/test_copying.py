from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.measuring import copying
from lab.measuring.copying import Candidate, copy_costs
from lab.memory import find_backing
from lab.records import BenchOptions


def options(*backings: str, sizes: tuple[int, ...] = (64,)) -> BenchOptions:
    return BenchOptions(list(backings), list(sizes), "", seconds=0.02, repeats=5)


def test_a_backing_that_is_refused_is_a_row_with_the_reason_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def share(self, path: Path, content: bytes, *, sparse: bool) -> Any:
            raise CannotRunError("no room here; make some")

    monkeypatch.setattr(copying, "find_backing", lambda name: Refusing() if name == "posix" else find_backing(name))
    rows = list(copy_costs(options("posix", "stream"), tmp_path, lambda _: None))
    assert [(row.backing, row.reason) for row in rows if row.reason] == [("posix", "no room here; make some")]
    assert [row.access for row in rows if row.backing == "stream"] == ["load", "store"]


@pytest.mark.parametrize("size", [1 << 60, 1 << 70])
def test_a_size_that_no_memory_holds_is_refused_in_a_line(size: int, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"--sizes: no memory for {size:,} bytes at once; ask for less"):
        list(copy_costs(options("mapped", sizes=(64, size)), tmp_path, lambda _: None))
    assert list(tmp_path.iterdir()) == []


def test_loads_and_stores_are_of_as_many_bytes_as_the_figure_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[tuple[str, int]] = set()

    class Spy:
        def around(self, held: object) -> object:
            return held

        def load(self, start: int, length: int) -> bytes:
            asked.add(("load", length))
            return bytes(length)

        def store(self, start: int, data: bytes) -> None:
            asked.add(("store", len(data)))

    monkeypatch.setattr(copying, "_opened", lambda *_: Spy())
    list(copy_costs(options("mapped", sizes=(64, 4096)), tmp_path, lambda _: None))
    assert asked == {("load", 64), ("load", 4096), ("store", 64), ("store", 4096)}


def test_the_order_is_turned_round_from_repeat_to_repeat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []
    measure = Candidate.measure

    def noted(self: Candidate) -> None:
        order.append(f"{self.backing} {self.access}")
        measure(self)

    monkeypatch.setattr(Candidate, "measure", noted)
    list(copy_costs(options("mapped"), tmp_path, lambda _: None))
    forwards = ["call load", "call store", "mapped load", "mapped store"]
    assert order == (forwards + forwards[::-1]) * 2 + forwards


def test_remapped_is_measured_with_what_it_does_inside_each_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab.memory.mapped import Reopening

    opened = 0
    renew = Reopening.renew

    def counted(self: Reopening) -> None:
        nonlocal opened
        opened += 1
        renew(self)

    monkeypatch.setattr(Reopening, "renew", counted)
    rows = list(copy_costs(options("remapped"), tmp_path, lambda _: None))
    least = sum(5 * row.calls for row in rows if row.backing == "remapped")
    assert opened >= least > 0
