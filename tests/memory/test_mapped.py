from __future__ import annotations

import errno
import fcntl
import mmap
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.locking.kernel import F_OFD_SETLKW, FLOCK
from lab.memory import BACKINGS, MAPPED, FileBacking, anonymous, mapped, open_ahead, read_back
from tests.helpers import in_fresh_process
from tests.memory.descriptors import SIZE, descriptors_of

UNMAPPABLE = Path("/dev/null")
F_OFD_SETLK = F_OFD_SETLKW - 1
PRIVATE = FileBacking("private", "", mmap.MAP_PRIVATE)
FILES = [backing for backing in BACKINGS.values() if isinstance(backing, FileBacking)]
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")


def can_populate() -> bool:
    huge = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    if huge.exists() and "[never]" not in huge.read_text():
        return False
    try:
        mmap.mmap(-1, mmap.PAGESIZE).madvise(mapped.MADV_POPULATE_WRITE, 0, mmap.PAGESIZE)
    except OSError:
        return False
    return True


def test_a_shared_store_reaches_the_file_and_every_other_mapping(path: Path) -> None:
    one, other = MAPPED.map(path, SIZE), MAPPED.map(path, SIZE)
    one.buffer[5000] = 7
    assert (read_back(path, SIZE)[5000], other.buffer[5000]) == (7, 7)
    one.close()
    other.close()


def test_a_private_store_reaches_nobody(path: Path) -> None:
    private, shared = PRIVATE.map(path, SIZE), MAPPED.map(path, SIZE)
    private.buffer[5000] = 7
    assert (private.buffer[5000], shared.buffer[5000], read_back(path, SIZE)[5000]) == (7, 0, 0)
    private.close()
    shared.close()


def test_loads_and_stores_go_to_the_page(path: Path) -> None:
    mapping = MAPPED.map(path, SIZE)
    mapping.store(5000, b"\x07\x08")
    assert (mapping.buffer[5000:5002], mapping.load(4999, 4)) == (b"\x07\x08", b"\x00\x07\x08\x00")
    mapping.close()


def test_an_abandoned_mapping_can_still_be_looked_at(path: Path) -> None:
    mapping = MAPPED.map(path, SIZE)
    view = memoryview(mapping.buffer)
    mapping.abandon()
    view[5000] = 7
    assert read_back(path, SIZE)[5000] == 7


def test_close_gives_back_every_descriptor(path: Path) -> None:
    mapping = MAPPED.map(path, SIZE)
    assert descriptors_of(path)
    mapping.close()
    assert descriptors_of(path) == []


def test_close_refuses_while_somebody_looks_at_the_buffer(path: Path) -> None:
    mapping = MAPPED.map(path, SIZE)
    view = memoryview(mapping.buffer)
    with pytest.raises(BufferError):
        mapping.close()
    view.release()
    mapping.close()


@pytest.mark.parametrize("backing", FILES, ids=lambda backing: backing.name)
def test_a_refused_mapping_cannot_run_and_leaks_nothing(backing: FileBacking) -> None:
    before = descriptors_of(UNMAPPABLE)
    with pytest.raises(
        CannotRunError, match=f"/dev: this filesystem refuses the mapping of backing {backing.name} .*--dir"
    ):
        backing.map(UNMAPPABLE, SIZE)
    assert descriptors_of(UNMAPPABLE) == before


@pytest.mark.parametrize("size", [1 << 62, 1 << 64])
def test_anonymous_memory_that_no_machine_has_is_refused(size: int) -> None:
    with pytest.raises(CannotRunError, match=f"{size:,} bytes of shared memory: refused; ask for less"):
        anonymous(size)


@pytest.mark.skipif(not can_populate(), reason="no MADV_POPULATE_WRITE (Linux 5.14), or shared memory in huge pages")
def test_populated_memory_is_there_when_it_is_written_to() -> None:
    faults = in_fresh_process(faults_of_writing, 100, 60)
    assert faults["populated"] < 10
    assert 40 <= faults["rest"] <= 60


def test_memory_can_be_had_where_it_cannot_be_populated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "MADV_POPULATE_WRITE", -1)
    assert anonymous(mmap.PAGESIZE, populated=mmap.PAGESIZE)[0] == 0


def test_anonymous_memory_is_zeroed_and_shared_with_forked_children() -> None:
    assert in_fresh_process(written_by_a_child) == [0, 9]


@pytest.mark.skipif(OVERCOMMIT.read_text().strip() == "2", reason="this kernel commits all memory (vm.overcommit)")
def test_anonymous_memory_may_be_larger_than_the_machines() -> None:
    pages = os.sysconf("SC_PHYS_PAGES") + int(Path("/proc/meminfo").read_text().split("SwapTotal:")[1].split()[0])
    memory = anonymous(2 * pages * mmap.PAGESIZE)
    memory[-1] = 1
    memory.close()


def faults_of_writing(pages: int, populated: int) -> dict[str, int]:
    """Page faults of the first write to each page, of those that were populated and of the rest."""
    memory = anonymous(pages * mmap.PAGESIZE, populated=populated * mmap.PAGESIZE)
    faults = []
    for part in (range(populated), range(populated, pages)):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for page in part:
            memory[page * mmap.PAGESIZE] = 1
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return dict(zip(("populated", "rest"), faults, strict=True))


def written_by_a_child() -> list[int]:
    memory = anonymous(mmap.PAGESIZE)
    before = memory[100]
    pid = os.fork()
    if not pid:
        memory[100] = 9
        os._exit(0)
    os.waitpid(pid, 0)
    return [before, memory[100]]


def shared_by(backing: FileBacking, path: Path) -> mapped.SharedFile:
    return mapped.SharedFile(backing, path, SIZE)


def is_locked_out(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, F_OFD_SETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except BlockingIOError:
        return True
    return False


@pytest.mark.needs("compiled")
@pytest.mark.parametrize(("backing", "reaches"), [(MAPPED, 7), (PRIVATE, 0)], ids=["shared", "private"])
def test_what_is_opened_ahead_is_opened_and_mapped_anew_in_the_same_place(
    path: Path, backing: FileBacking, reaches: int
) -> None:
    ahead = open_ahead(shared_by(backing, path), path)
    assert ahead
    made, again = ahead
    view, inherited = memoryview(made.buffer), os.dup(made.descriptor)
    assert not is_locked_out(inherited)
    assert not is_locked_out(made.descriptor), "one open file owns its lock through each of its descriptors"
    again()
    assert is_locked_out(made.descriptor), "another open file does not"
    assert descriptors_of(path) == sorted({str(made.descriptor), str(inherited)}, key=int)
    made.buffer[5000] = 7
    assert (view[5000], read_back(path, SIZE)[5000]) == (7, reaches)
    assert not os.get_inheritable(made.descriptor)
    os.close(inherited)


def replace_file(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.write_bytes(bytes(SIZE))


@pytest.mark.needs("compiled")
@pytest.mark.parametrize(
    ("change", "number"),
    [
        (replace_file, errno.ESTALE),
        (lambda path: os.truncate(path, SIZE - 1), errno.ENODATA),
        (Path.unlink, errno.ENOENT),
    ],
    ids=["replaced", "shorter", "gone"],
)
def test_another_file_is_not_put_in_the_place_of_what_was_opened_ahead(
    path: Path, change: Callable[[Path], object], number: int
) -> None:
    ahead = open_ahead(shared_by(MAPPED, path), path)
    assert ahead
    made, again = ahead
    before = os.fstat(made.descriptor)
    change(path)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as raised:
        again()
    assert raised.value.errno == number
    assert os.path.samestat(before, os.fstat(made.descriptor))
    made.close()


def test_a_backing_that_does_more_than_to_map_is_not_opened_ahead(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = [each for each in FILES if type(each) is not FileBacking]
    assert len(more) == 3
    assert [open_ahead(shared_by(each, path), path) for each in more] == [None] * 3
    monkeypatch.setattr(mapped, "_built", None)
    assert open_ahead(shared_by(MAPPED, path), path) is None
