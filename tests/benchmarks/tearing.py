"""Where copies of 1 to 64 bytes and more come apart between two processes: the measurement behind docs/memory-model.md.

    python tests/benchmarks/tearing.py [--seconds 0.3] [--offset N] [--ways NAMES] [--json] [LENGTH ...]

One process stores n bytes again and again, each time n times the next number; another one loads them. `store` tells
the cuts of the store, met by loads of a whole line of 64 bytes; `load` those of the load, of lines that are stored
whole; `both` stores and loads the n bytes. A cut is the offset of the first byte of another store, with `<` where the
bytes before it are the newer ones and `>` where those after it are. Lengths across a line have `both` only.
What another processor does, the same one tells under GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW
(as with AVX2), and with -AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM added to these (as with SSE2).
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import time
from collections import Counter
from collections.abc import Callable
from ctypes import Structure, c_ubyte
from itertools import pairwise
from pathlib import Path

LINE = 64
AT, ASKED, DONE = 1024, 0, 512
"""Where in the page the line lies, what the reader asks for, and what the writer has done."""

STOP = 254
BURSTS = range(128), range(128, 256)
"""What is stored in turn after an even and after an odd word of the reader."""

Load = Callable[[], bytes]
Store = Callable[[int], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lengths", nargs="*", type=int, default=[*range(1, 65), 65, 72, 80, 96, 100, 128, 200, 256])
    parser.add_argument("--seconds", type=float, default=0.3, help="for each row")
    parser.add_argument("--offset", type=int, default=0, help="of the first byte in its line")
    parser.add_argument("--ways", default="memoryview", help="of storing and loading, separated by commas")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each row, with all cuts")
    asked = parser.parse_args()
    if not asked.json:
        print(f"{cpu()}, {' '.join(platform.libc_ver())}, Python {platform.python_version()}")
        print("way         bytes  what       loads   torn %  cuts")
    for way in asked.ways.split(","):
        for length in asked.lengths:
            inside = asked.offset + length <= LINE
            for what in ("store", "load", "both") if inside else ("both",):
                loads, cuts = measured(way, what, asked.offset, length, asked.seconds)
                if asked.json:
                    print(json.dumps({"way": way, "length": length, "what": what, "loads": loads, "cuts": cuts}))
                    continue
                told = ", ".join(f"{cut} x{count}" for cut, count in cuts.most_common(6))
                print(
                    f"{way:10} {length:6}  {what:5} {loads:10,} {100 * cuts.total() / loads:8.4f}  {told}", flush=True
                )


def cpu() -> str:
    """The model's name, from /proc/cpuinfo."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")


def measured(way: str, what: str, offset: int, length: int, seconds: float) -> tuple[int, Counter[str]]:
    """How many loads were made, and how many of them had which cuts.

    The writer stores the numbers of a burst, then waits for the reader's word to go on with the other one: which of
    two numbers is the newer one is therefore certain, however long either of them is kept from the processor.
    """
    page = mmap.mmap(-1, 4096)
    start = AT + offset
    whole, part = (AT, LINE), (start, length)
    loaded, stored = {"store": (whole, part), "load": (part, whole), "both": (part, part)}[what]
    _, store = accesses(way, page, *stored)
    load, _ = accesses(way, page, *loaded)
    writer = os.fork()
    if not writer:
        try:
            pinned(max)
            write(page, store)
        finally:
            os._exit(0)
    kept = os.sched_getaffinity(0)
    pinned(min)
    cuts: Counter[str] = Counter()
    loads = 0
    begin = start - loaded[0]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page[ASKED] = (page[ASKED] + 1) % STOP
        while page[DONE] != page[ASKED]:
            seen = load()[begin : begin + length]
            loads += 1
            if seen.count(seen[0]) != length:
                cuts[cuts_of(seen, first=not page[ASKED] % 2)] += 1
    page[ASKED] = STOP
    os.sched_setaffinity(0, kept)
    os.waitpid(writer, 0)
    return loads, cuts


def pinned(which: Callable[[set[int]], int]) -> None:
    """Keep the process on one of its processors."""
    os.sched_setaffinity(0, {which(os.sched_getaffinity(0))})


def write(page: mmap.mmap, store: Store) -> None:
    """All numbers each time that the reader asks, until it says stop, or is gone."""
    reader = os.getppid()
    while True:
        while page[ASKED] == page[DONE]:
            if os.getppid() != reader:
                return
        if page[ASKED] == STOP:
            return
        for number in BURSTS[page[ASKED] % 2]:
            store(number)
        page[DONE] = page[ASKED]


def accesses(way: str, page: mmap.mmap, start: int, length: int) -> tuple[Load, Store]:
    """The load and the store of these bytes, n times a number."""
    numbers = [bytes([number]) * length for number in range(256)]
    end = start + length
    if way == "memoryview":
        view = memoryview(page)[start:end]

        def store(number: int) -> None:
            view[:] = numbers[number]

        return lambda: bytes(view[:]), store
    if way == "mmap":

        def store_slice(number: int) -> None:
            page[start:end] = numbers[number]

        return lambda: page[start:end], store_slice

    class Record(Structure):
        _fields_ = [("data", c_ubyte * length)]

    class Memory(Structure):
        _fields_ = [("record", Record)]

    memory = Memory.from_buffer(page, start)
    records = [Record.from_buffer_copy(each) for each in numbers]

    def store_struct(number: int) -> None:
        memory.record = records[number]

    return lambda: bytes(memory.record), store_struct


def cuts_of(seen: bytes, *, first: bool) -> str:
    """The places at which one store ends and another begins, and on which side of each is the newer one.

    Numbers of the second burst that are seen in the `first` are from before it.
    """
    numbers = [number - 256 if first and number in BURSTS[1] else number for number in seen]
    return " ".join(
        f"{at}{'<' if one > other else '>'}" for at, (one, other) in enumerate(pairwise(numbers), 1) if one != other
    )


if __name__ == "__main__":
    main()
