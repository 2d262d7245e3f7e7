"""What every backing guarantees: `Backing.share` and what it gives."""

from __future__ import annotations

import mmap
import os
from ctypes import Structure, c_uint64
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.memory import BACKINGS, Backing, find_backing
from lab.memory.segments import SystemV
from lab.processes import Child, fork_child
from tests.helpers import in_fresh_process

SIZE = 3 * mmap.PAGESIZE
ALL = pytest.mark.parametrize("backing", BACKINGS.values(), ids=list(BACKINGS))


class Memory(Structure):
    """Over the start of the bytes."""

    _fields_ = [("one", c_uint64), ("other", c_uint64)]


def mine_in_shm() -> list[str]:
    """The names under /dev/shm that this process made."""
    return [path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(f"lab-{os.getpid()}-")]  # noqa: S108


def segments_of(pid: int) -> list[str]:
    """The System V segments that a process made: their ids (proc(5), /proc/sysvipc/shm)."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()
    cpid = lines[0].split().index("cpid")
    return [line.split()[1] for line in lines[1:] if line.split()[cpid] == str(pid)]


def test_a_backing_says_whether_its_stores_are_shared_and_its_bytes_are_a_file_s() -> None:
    assert [backing.name for backing in BACKINGS.values() if not backing.shares] == ["private"]
    assert [backing.name for backing in BACKINGS.values() if not backing.of_file] == ["sysv", "posix", "anonymous"]


@ALL
@pytest.mark.parametrize("sparse", [False, True])
def test_who_opens_finds_the_content_and_one_s_own_stores(backing: Backing, sparse: bool, tmp_path: Path) -> None:
    content = b"\5" * 10 + bytes(SIZE)
    with backing.share(tmp_path / "file", content, sparse=sparse) as shared:
        opened = shared.open(tmp_path / "file")
        opened.store(5000, b"\6\7")
        assert opened.load(0, len(content)) == content[:5000] + b"\6\7" + content[5002:]
        opened.close()


@ALL
def test_a_store_reaches_the_others_and_what_is_read_back_where_the_backing_shares(
    backing: Backing, tmp_path: Path
) -> None:
    with backing.share(tmp_path / "file", bytes(SIZE)) as shared:
        one, other = shared.open(tmp_path / "file"), shared.open(str(tmp_path / "file"))
        one.store(5000, b"\7")
        reached = [other.load(5000, 1) == b"\7", shared.read_back()[5000] == 7]
        assert (reached, len(shared.read_back())) == ([backing.shares] * 2, SIZE)
        one.close()
        other.close()


@ALL
def test_the_file_holds_the_bytes_where_they_are_its_own_and_else_is_empty(backing: Backing, tmp_path: Path) -> None:
    with backing.share(tmp_path / "file", b"\5" * SIZE):
        assert (tmp_path / "file").read_bytes() == (b"\5" * SIZE if backing.of_file else b"")


@ALL
def test_the_guard_is_open_on_what_all_openers_share(backing: Backing, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with backing.share(path, bytes(SIZE)) as shared:
        one, other = shared.open(path), shared.open(path)
        assert one.guard != other.guard
        assert os.path.sameopenfile(one.guard, other.guard)
        assert os.path.samestat(os.fstat(one.descriptor), path.stat())
        one.close()
        other.close()


@ALL
def test_a_struct_can_be_laid_over_a_buffer(backing: Backing, tmp_path: Path) -> None:
    with backing.share(tmp_path / "file", bytes(16)) as shared:
        opened = shared.open(tmp_path / "file")
        if opened.buffer is not None:
            Memory.from_buffer(opened.buffer).other = 7
            assert opened.load(8, 8) == bytes([7, *bytes(7)])
        assert (opened.buffer is None) == (backing.name in ("stream", "remapped", "remapped_stream"))
        opened.close()


@ALL
def test_after_the_block_nothing_is_left(backing: Backing, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names, the same each time
    with backing.share(tmp_path / "file", bytes(SIZE)) as shared:
        shared.open(tmp_path / "file").close()
        inside = mine_in_shm()
    assert (inside, mine_in_shm(), segments_of(os.getpid()), list(tmp_path.iterdir())) == ([], [], [], [])
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


@ALL
def test_an_error_in_the_block_leaves_nothing_either(backing: Backing, tmp_path: Path) -> None:
    def fail() -> None:
        with backing.share(tmp_path / "file", bytes(SIZE)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (mine_in_shm(), segments_of(os.getpid()), list(tmp_path.iterdir())) == ([], [], [])


@ALL
def test_a_file_that_is_there_is_left_alone(backing: Backing, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(CannotRunError, match="File exists"):
        backing.share(tmp_path / "file", bytes(SIZE)).__enter__()
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert segments_of(os.getpid()) == []


@ALL
def test_a_missing_directory_is_named(backing: Backing, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=f"{tmp_path}/missing: cannot make a file"):
        backing.share(tmp_path / "missing" / "file", bytes(SIZE)).__enter__()


def test_a_segment_is_marked_for_removal_while_it_is_used(tmp_path: Path) -> None:
    with SystemV("sysv", "", of_file=False).share(tmp_path / "file", bytes(8)):
        (line,) = [
            line.split()
            for line in Path("/proc/sysvipc/shm").read_text().splitlines()
            if line.split()[1] in segments_of(os.getpid())
        ]
    key, perms = line[0], int(line[2], 8)
    assert (key, perms & 0o777, bool(perms & 0o1000)) == ("0", 0o600, True)  # SHM_DEST


def written_by_child_and_grandchild(name: str, path: str) -> list[int]:
    """What a child stores, and its own child, each through what it opened itself."""
    with find_backing(name).share(Path(path), bytes(16)) as shared:

        def grandchild() -> None:
            shared.open(path).store(8, b"\2")

        def child() -> None:
            opened = shared.open(path)
            Child(fork_child(grandchild)).wait()
            opened.store(0, bytes([1 + opened.load(8, 1)[0]]))
            opened.close()

        Child(fork_child(child)).wait()
        left = shared.read_back()
        return [left[0], left[8]]


@pytest.mark.parametrize("name", [name for name, backing in BACKINGS.items() if backing.shares])
def test_forked_children_and_theirs_open_the_same_bytes(name: str, tmp_path: Path) -> None:
    assert in_fresh_process(written_by_child_and_grandchild, name, str(tmp_path / "file")) == [3, 2]
