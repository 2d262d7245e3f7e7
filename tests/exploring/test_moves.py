"""The moves of a copy: by hand, as properties, and held against what two processes really see."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from ctypes import Structure, c_ubyte
from functools import cache
from itertools import pairwise
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import Scenario
from lab.exploring.operation import LINE, LOAD, STORE, Move, moves, widest_move
from lab.exploring.search import every_schedule
from lab.exploring.tally import Tally
from lab.exploring.worker import shape_of
from lab.exploring.world import End, World
from lab.scenario import Found
from tests.helpers import PATIENCE_S, ROOT

TEARING = ROOT / "tests" / "benchmarks" / "tearing.py"

CASES: list[tuple[int, int, list[Move], list[Move]]] = [
    (0, 1, [(0, 1)], [(0, 1)]),
    (0, 2, [(0, 2)], [(0, 1), (1, 1)]),
    (0, 3, [(1, 2), (0, 1)], [(0, 1), (1, 2)]),
    (0, 4, [(0, 4)], [(0, 4)]),
    (0, 7, [(0, 4), (3, 4)], [(0, 3), (3, 4)]),
    (0, 8, [(0, 8)], [(0, 8)]),
    (0, 9, [(0, 8), (1, 8)], [(1, 8), (0, 1)]),
    (0, 16, [(0, 16)], [(0, 16)]),
    (0, 24, [(0, 16), (8, 16)], [(0, 8), (8, 16)]),
    (8, 33, [(8, 32), (9, 32)], [(8, 1), (9, 32)]),
    (0, 63, [(0, 32), (31, 32)], [(0, 31), (31, 32)]),
    (0, 64, [(0, 64)], [(0, 64)]),
    (60, 8, [(60, 4), (64, 4)], [(60, 4), (64, 4)]),
    (60, 12, [(60, 4), (64, 4), (64, 8)], [(64, 8), (60, 4)]),
    (0, 72, [(0, 64), (8, 56), (64, 8)], [(0, 8), (8, 56), (64, 8)]),
    (64, 256, [(64, 64), (128, 64), (192, 64), (256, 64)], [(64, 64), (128, 64), (192, 64), (256, 64)]),
    (10, 150, [(10, 54), (64, 64), (128, 32)], [(10, 54), (64, 64), (128, 32)]),
]


@pytest.mark.parametrize(("start", "length", "stored", "loaded"), CASES)
def test_a_copy_is_two_moves_that_overlap(start: int, length: int, stored: list[Move], loaded: list[Move]) -> None:
    assert moves(STORE, start, length, 64) == stored
    assert moves(LOAD, start, length, 64) == loaded


@pytest.mark.parametrize("length", [8, 16, 32, 64])
@pytest.mark.parametrize("widest", [8, 16, 32, 64])
def test_a_power_of_two_is_one_move_as_far_as_there_is_one_so_wide(length: int, widest: int) -> None:
    for kind in (LOAD, STORE):
        assert len(moves(kind, 0, length, widest)) == max(1, length // widest)


@pytest.mark.parametrize("widest", [16, 32, 64])
@pytest.mark.parametrize("length", [1, 2, 4, 8])
def test_a_number_is_one_move_unless_it_lies_across_a_line(length: int, widest: int) -> None:
    for start in range(LINE - length + 1):
        assert moves(LOAD, start, length, widest, plain=True) == [(start, length)]
    if length > 1:
        assert len(moves(STORE, LINE - 1, length, widest, plain=True)) == 2


ranges = st.integers(0, 300), st.integers(0, 300), st.sampled_from([1, 2, 8, 16, 24, 32, 64, 100, 256])


@given(*ranges)
def test_a_load_keeps_every_byte_of_one_move_and_a_store_reaches_every_byte(
    start: int, length: int, widest: int
) -> None:
    loaded, stored = (
        [b for at, n in moves(k, start, length, widest) for b in range(at, at + n)] for k in (LOAD, STORE)
    )
    assert sorted(loaded) == sorted(set(stored)) == list(range(start, start + length))


@given(*ranges)
def test_no_move_is_wider_than_the_widest_or_lies_across_a_line(start: int, length: int, widest: int) -> None:
    line = max(LINE, widest)
    for kind in (LOAD, STORE):
        assert all(
            0 < n <= widest and at // line == (at + n - 1) // line for at, n in moves(kind, start, length, widest)
        )


@pytest.mark.parametrize(
    ("flags", "width"),
    [
        ("fpu sse2 avx avx2 avx512f avx512vl avx_vnni", 64),
        ("fpu sse2 avx avx2 avx512f avx512vl", 32),  # glibc leaves AVX-512 alone there
        ("fpu sse2 avx avx2", 32),
        ("fpu sse2", 16),
    ],
)
def test_the_widest_move_is_read_from_the_processor_s_flags(
    flags: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nmodel name\t: one\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert widest_move(info) == width
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert widest_move(tmp_path / "none") == 16


STORES = 4
"""Of the writer in the model: as many as two loads of two moves each can tell apart."""


def cuts_of(seen: bytes) -> str:
    """As tests/benchmarks/tearing.py tells them."""
    pairs = enumerate(pairwise(seen), 1)
    return " ".join(f"{at}{'<' if one > other else '>'}" for at, (one, other) in pairs if one != other)


@cache
def allowed(length: int, offset: int, what: str) -> set[str]:
    """The cuts that the model allows a load beside a writer: from all schedules of the two."""
    whole, part = (0, LINE), (offset, length)
    loaded, stored = {"store": (whole, part), "load": (part, whole), "both": (part, part)}[what]

    class Tearing(Scenario):
        """One stores n times the next number, another one loads."""

        worlds = frozenset({"explore"})

        class Memory(Structure):
            _fields_ = [("page", c_ubyte * 256)]

        def work(self, w: Any) -> None:
            page = w.bytes(self.Memory.page)
            if w.index == 0:
                for number in range(1, STORES + 1):
                    page[stored[0] : sum(stored)] = bytes([number]) * stored[1]
            else:
                begin = offset - loaded[0]
                w.damaged(cuts_of(page[loaded[0] : sum(loaded)][begin : begin + length]))

        def check(self, memory: Any, outcome: Any) -> list[Any]:
            return []

    class Cuts(Tally):
        """Keeps what the loads met."""

        met: set[str]

        def add(self, world: World) -> bool:
            end: End = world.end()
            self.met.update(each.kind for each in end.damage)
            return False

    tally = Cuts(deadline=inf)
    tally.met = set()
    found = Found("tearing", Tearing, "")
    every_schedule(World(shape_of(found, "none", 2, 1, widest_move()), 1000), tally)
    return tally.met


EITHER_FIRST = range(5, 8)
"""These lengths glibc copies as two moves of 4 bytes: its versions for AVX begin with the end, those for AVX-512VL with
the beginning. The model does as the former where a move has 32 bytes: a load of one is cut as a store of the other."""


def test_what_two_processes_see_of_each_other_s_copies_the_model_allows() -> None:
    """Lengths at random, within a line and across one; whatever was seen torn, some schedule tears just so."""
    seed = time.time_ns()
    draw = Random(seed)
    for offset in (0, draw.randrange(LINE), draw.randrange(48, LINE)):
        lengths = [str(draw.randint(1, 2 * widest_move())) for _ in range(4)]
        command = [sys.executable, str(TEARING), "--json", "--seconds", "0.1", "--offset", str(offset), *lengths]
        rows = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
        for row in map(json.loads, rows.splitlines()):
            ways = ("store", "load", "both") if row["length"] in EITHER_FIRST else (row["what"],)
            beyond = row["cuts"].keys() - set().union(*(allowed(row["length"], offset, way) for way in ways))
            assert not beyond, f"seed {seed}, offset {offset}: {row} has {beyond}"


@pytest.mark.parametrize("length", [n for n in range(2, 64) if n & (n - 1)])
def test_every_length_that_is_no_power_of_two_comes_apart_within_a_line(length: int) -> None:
    assert len(allowed(length, 0, "store")) > 1
    assert len(allowed(length, 0, "load")) > 1


@pytest.mark.parametrize("length", [1, 4, 8, 16])
def test_other_lengths_never_do(length: int) -> None:
    assert allowed(length, 0, "both") == {""}
