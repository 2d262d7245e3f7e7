"""Describe the machine and its filesystems: enough to read the figures by, nothing about its user."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from pwd import getpwuid
from typing import Any

from lab.records import SCHEMA, Environment, Mount

from .procfs import ListedMount, listed_mounts, mount_id

LOCAL = frozenset({
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "squashfs", "tmpfs", "vfat",
    "xfs", "zfs",
})  # fmt: skip
"""Types of filesystems that the kernel serves by itself; an overlay's own locks are the kernel's too."""


class RunStart:
    """The start of a run on the calendar and on the clock, and the load of the machine then."""

    def __init__(self) -> None:
        self.load = os.getloadavg()[0]
        self.moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._clock = time.monotonic()

    @property
    def wall_s(self) -> float:
        """Return the seconds since then, to the millisecond."""
        return round(time.monotonic() - self._clock, 3)

    def header(self, where: Environment, *, interrupted: bool = False) -> dict[str, Any]:
        """Return the fields of the header of a document that is written now, without its command."""
        return {
            "schema": SCHEMA,
            "started": self.moment,
            "wall_s": self.wall_s,
            "environment": where,
            "interrupted": interrupted,
        }


def environment(
    directory: Path | None, load: float, recorder: str = "none", *, several: Sequence[str] = ()
) -> Environment:
    """Return the kernel, the processors, the Python, the filesystem of the directory, and the load at the start.

    Without a directory the memory was simulated, and so is the filesystem. The mounts of `several`
    directories are listed beside it.
    """
    mount = mounts_of([directory])[0] if directory else Mount("", "simulated", "")
    return Environment(
        lab=version(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        recorder=recorder,
        kernel=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=_cpu_model(),
        cpus=os.cpu_count() or 1,
        cpus_allowed=len(os.sched_getaffinity(0)),
        filesystem=mount.filesystem,
        mount_options=mount.mount_options,
        load_at_start=round(load, 2),
        mounts=mounts_of(list(map(Path, several))),
    )


def anonymous_text(text: str) -> str:
    """Return the text with the home directory as ~ and the user's name, where it is a path component, as USER."""
    homes, names = _homes_and_names()
    for home in homes:
        text = re.sub(rf"(?<![\w/.-]){re.escape(home)}(?![\w-])", "~", text)
    for name in names - {"root", ""}:
        text = re.sub(rf"(?<=/){re.escape(name)}(?![\w-])", "USER", text)
    return text


def _homes_and_names() -> tuple[list[str], set[str]]:
    """Return the user's home directories, longest first, and names: by $HOME, and by the password file."""
    homes, names = set(), set()
    with suppress(RuntimeError):  # neither says: as in many containers
        homes.add(Path.home())
    with suppress(KeyError):
        known = getpwuid(os.getuid())
        homes.add(Path(known.pw_dir))
        names.add(known.pw_name)
    real = [home for home in homes if len(home.parts) > 1]
    return sorted(map(str, real), key=len, reverse=True), names | {home.name for home in real}


def version() -> str:
    """Return the version of the lab that is installed."""
    from importlib import metadata

    try:
        return metadata.version("lock-race-lab")
    except metadata.PackageNotFoundError:
        return "unknown"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return models[0] if models else platform.processor() or "unknown"


def mounts_of(directories: Sequence[Path]) -> list[Mount]:
    """Return the type and options of the filesystem behind each directory; the type is "unknown" where it is unlisted.

    psutil, which reports the same, imports threading, which doubles the cost of every fork after it.
    """
    listed = listed_mounts()
    return [_mount(directory, listed.get(mount_id(directory), ListedMount("unknown", []))) for directory in directories]


def is_local(mounts: Sequence[Mount]) -> bool:
    """Return whether each is a filesystem of this kernel alone: no server, on this host or another, answers for it."""
    return all(mount.filesystem in LOCAL for mount in mounts)


def _mount(directory: Path, listed: ListedMount) -> Mount:
    options = ",".join(dict.fromkeys(listed.options))
    options = re.sub(r"\b(user|username|uname)=[^,]*", r"\1=USER", options)
    return Mount(anonymous_text(str(directory)), listed.filesystem, anonymous_text(options))
