"""Accesses written by hand: times are small numbers, the bytes are letters."""

from __future__ import annotations

from lab.analysis.accesses import LOAD, REPORT, STORE, Access

FILE = b"................"


def load(worker: int, times: tuple[int, int], data: bytes, start: int = 0, round: int = 0) -> Access:
    return Access(*times, worker, round, LOAD, start, len(data), data)


def store(worker: int, times: tuple[int, int], data: bytes, start: int = 0, round: int = 0) -> Access:
    return Access(*times, worker, round, STORE, start, len(data), data)


def report(worker: int, time: int) -> Access:
    return Access(time, time, worker, 0, REPORT, 0, 0, b"odd")


def image(data: bytes, at: int) -> Access:
    """A load of the whole file."""
    return Access(at, at, -1, 0, LOAD, 0, len(data), data)
