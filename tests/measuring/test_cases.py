from __future__ import annotations

from lab.locking import find_lock
from lab.measuring.cases import cases_of
from lab.records import BenchOptions, Price


def options(
    prices: list[Price] | None = None,
    workers: list[int] | None = None,
    held: list[int] | None = None,
    backings: list[str] | None = None,
    hold_ns: int = 0,
    think_ns: int = 0,
    pin: str = "spread",
) -> BenchOptions:
    return BenchOptions(
        backings=backings or [],
        sizes=[],
        directory=".",
        seconds=1,
        repeats=5,
        locks=["fcntl"],
        prices=prices or ["uncontended", "hand-off", "queue"],
        workers=workers or [2],
        ranges=["same", "disjoint"],
        held=held or [0],
        hold_ns=hold_ns,
        think_ns=think_ns,
        pin=pin,
    )


def names(asked: BenchOptions, lock: str = "fcntl") -> list[str]:
    return [case.name for case in cases_of(find_lock(lock), asked)]


def test_alone_is_measured_once_and_hand_offs_from_two_workers_on() -> None:
    assert names(options(workers=[1, 2, 8])) == [
        "fcntl uncontended",
        "fcntl hand-off, 2 workers",
        "fcntl hand-off, 8 workers",
        "fcntl queue, 1 worker",
        "fcntl queue, 1 worker, disjoint",
        "fcntl queue, 2 workers",
        "fcntl queue, 2 workers, disjoint",
        "fcntl queue, 8 workers",
        "fcntl queue, 8 workers, disjoint",
    ]


def test_a_name_tells_what_is_not_as_usual() -> None:
    asked = options(
        ["uncontended", "queue"], held=[1000], backings=["stream"], hold_ns=10_000, think_ns=500, pin="none"
    )
    assert names(asked) == [
        "fcntl uncontended, 1,000 held, stream, not pinned",
        "fcntl queue, 2 workers, 1,000 held, stream, hold 10 us, think 0.5 us, not pinned",
        "fcntl queue, 2 workers, disjoint, 1,000 held, stream, hold 10 us, think 0.5 us, not pinned",
    ]


def test_a_lock_of_the_whole_file_has_no_ranges_apart_and_none_beside_those_held() -> None:
    cases = list(cases_of(find_lock("flock"), options(["uncontended", "queue"], held=[0, 5])))
    unable = {case.name: bool(case.unable) for case in cases}
    assert unable == {
        "flock uncontended": False,
        "flock queue, 2 workers": False,
        "flock queue, 2 workers, disjoint": True,
        "flock uncontended, 5 held": True,
        "flock queue, 2 workers, 5 held": True,
        "flock queue, 2 workers, disjoint, 5 held": True,
    }
