"""FUSE servers run for a test: those of this directory, and bindfs and sshfs as they are installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from tests.checking.mounting import is_mounted, room, unmount
from tests.helpers import ROOT, wait_until
from tests.needs import need, need_program, require

SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")

POINTS = ("1", "2")
"""The names of the mount points, and the seeds of the servers."""

IMPATIENCE_S = 0.5
"""How long a server has to end by itself once it is unmounted."""


@contextmanager
def _served_directory(mounts: int, command: Callable[[Path, Path], list[str | Path]]) -> Iterator[list[Path]]:
    """A backing directory that each of the mounts serves; the command is made of that and the mount point."""
    need("mounts")
    need("fuse")
    with room("backing", *POINTS[:mounts]) as [backing, *points], ExitStack() as stack:
        for point in points:
            stack.enter_context(_served(point, *command(backing, point)))
        yield points


def fuse(variant: str, mounts: int = 1, stops: Sequence[str] = ()) -> AbstractContextManager[list[Path]]:
    """A variant of tests.checking.fuse_server, once or twice over one directory.

    The last of them stops answering at a request: its kind, its number and how (tests.checking.fuse.stopping).
    """
    need("libfuse")
    options = ["--until-eof", *(["--alone"] if mounts == 1 else [])]
    server = [sys.executable, "-m", "tests.checking.fuse_server", *options, variant]

    def command(backing: Path, point: Path) -> list[str | Path]:
        last = ["--stop-at", *stops] if stops and point.name == POINTS[mounts - 1] else []
        return [*server, backing, point, "--seed", point.name, *last]

    return _served_directory(mounts, command)


def bindfs(mounts: int = 1) -> AbstractContextManager[list[Path]]:
    """bindfs, once or twice over one directory."""
    need_program("bindfs")
    return _served_directory(mounts, lambda backing, point: ["bindfs", "-f", backing, point])


def sshfs(mounts: int = 1) -> AbstractContextManager[list[Path]]:
    """sshfs that talks to an SFTP server without any network, once or twice over one directory."""
    need_program("sshfs")
    require(SFTP_SERVER.exists(), f"{SFTP_SERVER} is not installed")

    def command(backing: Path, point: Path) -> list[str | Path]:
        wrapper = backing.with_name(f"sftp{point.name}")  # sshfs adds the arguments of ssh
        wrapper.write_text(f"exec {SFTP_SERVER}\n")
        return ["sshfs", "-f", "-o", f"ssh_command=sh {wrapper}", f"nowhere:{backing}", point]

    return _served_directory(mounts, command)


@contextmanager
def _served(point: Path, *command: str | Path) -> Iterator[None]:
    """Run a FUSE server in the foreground; its standard input is open as long as the block, or this process, lives."""
    with TemporaryFile() as said:
        server = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
        )
        try:
            wait_until(lambda: is_mounted(point) or server.poll() is not None, f"{point} is mounted")
            said.seek(0)
            assert server.poll() is None, said.read().decode(errors="replace")
            yield
        finally:
            if not unmount(point):
                server.kill()
            _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Let it end, as it does once it is unmounted; kill one that does not."""
    assert server.stdin
    server.stdin.close()
    try:
        server.wait(IMPATIENCE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
