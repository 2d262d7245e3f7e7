"""The mounts behind directories, from the kernel's own list of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from lab.environment import anonymous_text
from lab.results import Mount

LOCAL = frozenset({
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "squashfs", "tmpfs", "vfat",
    "xfs", "zfs",
})  # fmt: skip
"""Types of filesystems that the kernel serves by itself; an overlay's own locks are the kernel's too."""


def mounts_of(directories: Sequence[Path]) -> list[Mount]:
    """Type and options of the filesystem behind each directory (proc_pid_mountinfo(5)); unknown where it is unlisted.

    psutil, which would tell too, starts what doubles the cost of every fork after it.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        lines = []
    listed = {line.split()[0]: line for line in lines}
    return [_mount(directory, listed.get(mount_id(directory), "")) for directory in directories]


def is_local(mounts: Sequence[Mount]) -> bool:
    """True where each is a filesystem of this kernel alone: no server, on this host or another, answers for it."""
    return all(mount.filesystem in LOCAL for mount in mounts)


def _mount(directory: Path, line: str) -> Mount:
    before, _, after = line.partition(" - ")
    own, kind = before.split(), after.split()
    words = [*own[5].split(","), *kind[2].split(",")] if len(own) > 5 and len(kind) > 2 else []
    options = re.sub(r"\b(user|username|uname)=[^,]*", r"\1=USER", ",".join(dict.fromkeys(words)))
    return Mount(anonymous_text(str(directory)), kind[0] if kind else "unknown", anonymous_text(options))


def mount_id(directory: Path) -> str:
    """The number of the mount through which this path leads: two bind mounts of one directory have two."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    finally:
        os.close(descriptor)
    return next((line.split()[1] for line in told.splitlines() if line.startswith("mnt_id:")), "")
