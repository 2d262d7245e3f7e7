"""The filesystems that the check is tried on: what each can do, whom its locks keep out, and that it goes away."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checking import asker
from tests.checking.mounted import filesystem, see_waiting, state_of
from tests.checking.mounting import clear_leftovers, folder_of, mounts_below, processes_below
from tests.checking.mounts import BAD_INPUT, FILESYSTEMS, abort
from tests.helpers import ROOT, OtherProcess, is_running, wait_until
from tests.needs import Missing, need

pytestmark = pytest.mark.mounts

HOWS = ["posix", "ofd", "flock"]
GRANTED_TWICE = {"overlay_upper", "bindfs_two", "sshfs_two", "fuse_no_lock_two", "fuse_always", "fuse_always_two"}
WITHOUT_LOCKS = {"fuse_enosys", "fuse_enosys_two"}
NEVER_ANSWERED = {"fuse_never_answers", "fuse_never_answers_two"}
WITHOUT_MAPPING = {"fuse_direct_io", "fuse_direct_io_two"}
WITHOUT_RENAME = {"fuse_no_rename"}
ALONE_BETWEEN_MOUNTS = {"fuse_posix_alone_two": {"posix", "ofd"}, "fuse_flock_alone_two": {"flock"}}
"""The locks that these have in common; the others each mount keeps to itself."""


@pytest.mark.parametrize("name", sorted(FILESYSTEMS.keys() - BAD_INPUT))
def test_a_filesystem_works_and_locks_as_announced_and_goes_with_its_block(name: str) -> None:
    with filesystem(name) as [file, *others]:
        if name not in WITHOUT_RENAME:
            file.write_bytes(b"written")
            assert [other.read_bytes() for other in others] == [b"written"] * len(others)
            use_file(file)
            use_mapping(file, mappable=name not in WITHOUT_MAPPING)
            use_folder(file)
        if name not in NEVER_ANSWERED:
            file.with_name("locked").touch()
            use_locks(name, [path.with_name("locked") for path in [file, *others]])
        mounted = [path.parent for path in [file, *others]]
    assert not [path for path in mounted if path.exists()]
    assert not mounts_below(folder_of(os.getpid()))


def use_locks(name: str, files: list[Path]) -> None:
    """A lock is granted to one process, or as announced."""
    first = errno.ENOSYS if name in WITHOUT_LOCKS else 0
    second = first if name in WITHOUT_LOCKS | GRANTED_TWICE else errno.EAGAIN
    with OtherProcess() as other:
        for how in sorted(ALONE_BETWEEN_MOUNTS.get(name, HOWS)):
            assert (how, other.call(asker.ask, files[0], how)) == (how, first)
            assert (how, asker.ask(files[-1], how)) == (how, second)
            if second == errno.EAGAIN:
                other.call(asker.give_back, files[0], how)
                assert (how, asker.ask(files[-1], how)) == (how, 0)
                asker.give_back(files[-1], how)
            else:
                asker.close_all()
                other.call(asker.close_all)
    asker.close_all()


def use_file(file: Path) -> None:
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, 4096)
        os.ftruncate(opened.fileno(), 100)
        os.fsync(opened.fileno())
    assert (file.stat().st_size, file.read_bytes()[:7]) == (100, b"written")
    os.truncate(file, 50)
    os.utime(file, ns=(1_000_000_000, 2_000_000_000))
    file.chmod(0o640)
    stat = file.stat()
    assert (stat.st_size, stat.st_atime, stat.st_mtime, stat.st_mode & 0o777) == (50, 1, 2, 0o640)


def use_folder(file: Path) -> None:
    folder = file.with_name("folder")
    folder.mkdir()
    moved = file.rename(folder / "moved")
    assert [path.name for path in folder.iterdir()] == ["moved"]
    assert not file.exists()
    assert os.statvfs(folder).f_bsize
    moved.unlink()
    wait_until(lambda: not list(folder.iterdir()), "libfuse has unlinked what it took for open")
    folder.rmdir()


def use_mapping(file: Path, *, mappable: bool) -> None:
    with file.open("r+b") as opened:
        if mappable:
            with mmap.mmap(opened.fileno(), 50) as mapping:
                mapping[7] = ord("M")
                mapping.flush()
                assert os.pread(opened.fileno(), 1, 7) == b"M"
        else:
            with pytest.raises(OSError, match=f"Errno {errno.ENODEV}"):
                mmap.mmap(opened.fileno(), 50)


def test_the_full_filesystem_soon_is() -> None:
    with filesystem("full") as [file], pytest.raises(OSError, match=f"Errno {errno.ENOSPC}"):
        file.write_bytes(bytes((64 << 10) + 1))


def test_nobody_writes_to_the_read_only_filesystem() -> None:
    with FILESYSTEMS["read_only"]() as [directory], pytest.raises(OSError, match=f"Errno {errno.EROFS}"):
        (directory / "file").touch()


def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    need("mounts")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Missing, match="is not installed"), FILESYSTEMS["xfs"]():
        pass


# Every way out


def test_all_is_undone_where_the_body_raises() -> None:
    seen: list[Path] = []
    with pytest.raises(ZeroDivisionError):
        divide_by_zero_on(seen)
    assert len(seen) == 2
    assert not [path for path in seen if path.exists() or processes_below(path.parent)]
    assert not mounts_below(folder_of(os.getpid()))


def divide_by_zero_on(seen: list[Path]) -> None:
    with filesystem("fuse_honest_two") as files:
        seen += files
        assert all(processes_below(file.parent) for file in files)
        raise ZeroDivisionError


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("name", ["fuse_honest", "fuse_writeback"])
def test_all_is_undone_where_the_server_was_killed_or_hangs(name: str, how: signal.Signals) -> None:
    with filesystem(name) as [file]:
        file.write_bytes(b"not yet written back")
        [server] = processes_below(file.parent)
        os.kill(server, how)
        wait_until(lambda: state_of(server) in "ZT", "the signal was delivered")
    assert not is_running(server)
    assert not file.parent.parent.exists()


@pytest.mark.parametrize("name", ["tmpfs", "xfs", "fuse_honest", "bindfs"])
def test_all_is_undone_where_a_file_is_still_open(name: str) -> None:
    with OtherProcess() as other:
        with filesystem(name) as [file]:
            other.call(asker.ask, file, "posix")
        assert not mounts_below(folder_of(os.getpid()))
        assert not file.parent.parent.exists()


def test_a_request_that_is_never_answered_ends_with_the_abort() -> None:
    with OtherProcess() as other, filesystem("fuse_never_answers") as [file]:
        other.call(asker.told, file, "posix")
        other.start(asker.ask, file, "posix")
        see_waiting(other, file)
        os.kill(other.pid, signal.SIGKILL)
        wait_until(lambda: state_of(other.pid) == "D", "the killed process sleeps on")
        abort(file.parent)
        wait_until(lambda: not is_running(other.pid), "it ends")


def test_a_request_that_is_never_answered_ends_with_the_block() -> None:
    with OtherProcess() as other:
        with filesystem("fuse_never_answers") as [file]:
            other.call(asker.told, file, "posix")
            other.start(asker.ask, file, "posix")
            see_waiting(other, file)
            [server] = processes_below(file.parent)
        assert other.answer() == errno.ECONNABORTED
        assert not is_running(server)


MOUNTER = """
import sys, time
from tests.checking.mounts import FILESYSTEMS
from tests.needs import Missing, need
with FILESYSTEMS["xfs"](), FILESYSTEMS["fuse_honest_two"](), FILESYSTEMS["sshfs"]():
    print("mounted", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_cleared_away_and_what_a_living_one_uses_is_not() -> None:
    with filesystem("fuse_honest") as [mine]:
        command = [sys.executable, "-c", MOUNTER]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as mounter:
            assert mounter.stdout
            assert mounter.stdout.readline() == b"mounted\n"
            folder = folder_of(mounter.pid)
            clear_leftovers()
            points = mounts_below(folder)
            assert len(points) == 4
            servers = [pid for point in points for pid in processes_below(point)]
            os.kill(servers[0], signal.SIGSTOP)
            mounter.kill()
        assert folder.exists()
        clear_leftovers()
        assert not folder.exists()
        assert not mounts_below(folder)
        wait_until(lambda: not [server for server in servers if is_running(server)], "its servers end")
        assert mine.exists()
