"""Small Python programs that lock rightly or wrongly, after reported faults: gallery.py NAME FILE WORKER."""

# ruff: noqa: PTH105, PTH123 - as such programs are written

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import sqlite3
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

name, file, worker = sys.argv[1:4]
ROUNDS = 4


def guarded() -> int:
    """Take a lock on a file beside the data that stays."""
    guard = os.open(f"{file}.guard", os.O_RDWR | os.O_CREAT)
    fcntl.flock(guard, fcntl.LOCK_EX)
    return guard


def saved_by_rename() -> None:
    guard, fresh = guarded(), f"{file}.{worker}"
    with open(file) as data:
        numbers = json.load(data)
    numbers.append(worker)
    with open(fresh, "w") as data:
        json.dump(numbers, data)
    os.replace(fresh, file)
    os.close(guard)


def same_name_beside() -> None:
    """Both copies have the new file open before either writes it."""
    with open(f"{file}.fresh", "w") as data:
        Path(f"{file}.open{worker}").touch()
        while not all(Path(f"{file}.open{each}").exists() for each in (0, 1)):
            time.sleep(0.001)
        json.dump([worker], data)
    with suppress(FileNotFoundError):
        os.replace(f"{file}.fresh", file)
    sys.exit()


def add_buffered(flushes: bool) -> None:
    with open(file, "r+") as data:
        fcntl.flock(data, fcntl.LOCK_EX)
        number = len(data.read())
        data.seek(0)
        data.write(str(number))
        if flushes:
            data.flush()
        fcntl.flock(data, fcntl.LOCK_UN)


def flushed() -> None:
    add_buffered(True)


def flushed_late() -> None:
    add_buffered(False)


def emptied_by_mode_w() -> None:
    with open(file, "w") as data:
        fcntl.flock(data, fcntl.LOCK_EX)
        data.write("all of it")
        data.flush()
        fcntl.flock(data, fcntl.LOCK_UN)


def emptied_under_the_lock() -> None:
    with os.fdopen(os.open(file, os.O_RDWR), "r+") as data:
        fcntl.flock(data, fcntl.LOCK_EX)
        data.truncate(0)
        data.write("all of it")
        data.flush()


def looked_first(again: bool) -> None:
    with open(file, "r+b") as data:
        data.readline()
        fcntl.flock(data, fcntl.LOCK_EX)
        if again:
            with open(file, "rb") as fresh:
                fresh.read()
        data.seek(0)
        data.write(b"%08d" % int(worker))
        data.flush()
        fcntl.flock(data, fcntl.LOCK_UN)


def looked_and_looked_again() -> None:
    looked_first(True)


def looked_only_before() -> None:
    looked_first(False)


def helper_unlocks() -> None:
    guard = guarded()
    Path(file).write_text(Path(file).read_text() + ".")
    child = os.fork()
    if not child:
        fcntl.flock(guard, fcntl.LOCK_UN)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(guard)


def helper_leaves() -> None:
    guard = guarded()
    Path(file).write_text(Path(file).read_text() + ".")
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    os.close(guard)


def two_threads(command: int) -> None:
    """Two threads of one process each open the file and lock it, one after the other has it."""
    inside, tried = threading.Event(), threading.Event()
    record = b"\1\0\0\0" + bytes(4) + bytes(8) + (8).to_bytes(8, "little") + bytes(8)

    def first() -> None:
        descriptor = os.open(file, os.O_RDWR)
        fcntl.fcntl(descriptor, command + 1, record)
        inside.set()
        tried.wait()
        os.pwrite(descriptor, b"12345678", 0)
        fcntl.fcntl(descriptor, command, b"\2" + record[1:])

    def second() -> None:
        descriptor = os.open(file, os.O_RDWR)
        inside.wait()
        try:
            fcntl.fcntl(descriptor, command, record)
        except BlockingIOError:
            tried.set()
            fcntl.fcntl(descriptor, command + 1, record)
        tried.set()
        os.pwrite(descriptor, b"12345678", 0)
        fcntl.fcntl(descriptor, command, b"\2" + record[1:])

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def posix_between_threads() -> None:
    two_threads(fcntl.F_SETLK)


def ofd_between_threads() -> None:
    two_threads(getattr(fcntl, "F_OFD_SETLK", 37))


def threads_of_sqlite() -> None:
    """Threads share a connection: one has SQLite's mutex without the GIL, while another with the GIL waits for it."""
    connection = sqlite3.connect(f"{file}.{worker}.db", check_same_thread=False, isolation_level=None)
    connection.execute("pragma cache_size=10")
    connection.execute("create table if not exists t (x, y)")
    rows = (
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) select i, zeroblob(200) from n"
    )

    def insert() -> None:
        for _ in range(3):
            connection.execute(f"insert into t {rows}")

    def select() -> None:
        for number in range(2000):
            connection.execute("select ?", (number,)).fetchall()

    threads = [threading.Thread(target=each) for each in (insert, select, select)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit()


def mapping(size: int = 4096) -> mmap.mmap:
    return mmap.mmap(descriptor, size)


def mapped_add(shared: mmap.mmap) -> None:
    (value,) = struct.unpack("<Q", shared[:8])
    shared[:8] = struct.pack("<Q", value + 1)


def mapped_under_the_lock() -> None:
    shared = mapping()  # before the lock: its end would drop the lock
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 8)
    mapped_add(shared)
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 8)


def structure_under_the_lock() -> None:
    counter = ctypes.c_uint64.from_buffer(mapping())
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    counter.value += 1
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def mapped_without_a_lock() -> None:
    mapped_add(mapping())


def structure_without_a_lock() -> None:
    ctypes.c_uint64.from_buffer(mapping()).value += 1


def mapped_look_first() -> None:
    shared = mapping()
    (value,) = struct.unpack("<Q", shared[:8])
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    shared[:8] = struct.pack("<Q", value + 1)
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def mapped_after_the_unlock() -> None:
    shared = mapping()
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (value,) = struct.unpack("<Q", shared[:8])
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    shared[:8] = struct.pack("<Q", value + 1)


def mapped_and_closed() -> None:
    """mmap.mmap keeps a copy of the descriptor; its close drops the lock."""
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 8)
    mapping().close()
    mapped_add(mapping())
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 8)


def frames(tidy: bool) -> None:
    """Senders hold a shared lock for as long as they send; a daemon closes what it does not know, and the lock goes."""
    shared = mapping()
    guard = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT)
    if worker == "0":
        while not Path(f"{file}.sent").exists():
            time.sleep(0.001)
        fcntl.flock(guard, fcntl.LOCK_EX)
        sum(shared[:128])
        sum(shared[:128])
    else:
        fcntl.flock(guard, fcntl.LOCK_SH)
        if tidy:
            os.closerange(guard, 64)
        shared[64:72] = struct.pack("<Q", 1)
        Path(f"{file}.sent").touch()
    if worker == "0" or not tidy:
        os.close(guard)


def frames_sent() -> None:
    frames(False)


def frames_of_a_daemon() -> None:
    frames(True)


def segment(unlocks_first: bool) -> None:
    """One shrinks the file under the lock; the others look at their mapping, with the lock or without it."""
    if worker == "0":
        while unlocks_first and not Path(f"{file}.mapped").exists():
            time.sleep(0.001)
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 4096)
        os.ftruncate(descriptor, 8192)
        os.pwrite(descriptor, b"x" * 4096, 4096)
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
        Path(f"{file}.cut").touch()
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_SH)
        with mmap.mmap(descriptor, os.fstat(descriptor).st_size, prot=mmap.PROT_READ) as view:
            if unlocks_first:
                fcntl.lockf(descriptor, fcntl.LOCK_UN)
                Path(f"{file}.mapped").touch()
            while unlocks_first and not Path(f"{file}.cut").exists():
                time.sleep(0.001)
            view[-1]
            if not unlocks_first:
                fcntl.lockf(descriptor, fcntl.LOCK_UN)


def segment_read() -> None:
    segment(False)


def segment_read_late() -> None:
    segment(True)


descriptor = os.open(file, os.O_RDWR) if len(sys.argv) > 4 else -1
if descriptor >= 0:
    os.ftruncate(descriptor, 8192)
for _ in range(ROUNDS):
    globals()[name]()
