from __future__ import annotations

import mmap
import os
import resource
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.memory import BACKINGS, MAPPED, FileBacking, anonymous, mapped, read_back
from tests.helpers import in_fresh_process
from tests.memory.descriptors import SIZE, descriptors_of

UNMAPPABLE = Path("/dev/null")
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
