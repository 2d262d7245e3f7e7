"""What the race is held against: forked processes in a bare CPython loop of lock, add 1, unlock.

usage: bare_loop.py WORKERS ROUNDS FILE; prints pairs per second from the release on. Imports nothing of the lab.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import time
from ctypes import Structure, c_uint64
from struct import pack


class Memory(Structure):
    _fields_ = (("value", c_uint64),)


def work(path: str, rounds: int) -> None:
    file = os.open(path, os.O_RDWR)
    memory = Memory.from_buffer(mmap.mmap(file, 8))
    lock = pack("hh0qqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 8, 0)
    unlock = pack("hh0qqqi0q", fcntl.F_UNLCK, os.SEEK_SET, 0, 8, 0)
    call, command = fcntl.fcntl, fcntl.F_SETLKW
    for _ in range(rounds):
        call(file, command, lock)
        memory.value += 1
        call(file, command, unlock)


def main(workers: int, rounds: int, path: str) -> None:
    ends = memoryview(mmap.mmap(-1, 8 * workers)).cast("Q")
    barrier, release = os.pipe()
    ready, arrived = os.pipe()
    for worker in range(workers):
        if not os.fork():
            os.close(release)
            os.write(arrived, b".")
            os.read(barrier, 1)
            work(path, rounds)
            ends[worker] = time.monotonic_ns()
            os._exit(0)
    for _ in range(workers):
        os.read(ready, 1)
    start = time.monotonic_ns()
    os.close(release)
    for _ in range(workers):
        os.wait()
    print(workers * rounds * 1e9 / (max(ends) - start))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
