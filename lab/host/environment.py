"""What is recorded of the machine: enough to read the figures by, nothing about its user."""

from __future__ import annotations

import os
import platform
import re
import time
from contextlib import suppress
from pathlib import Path
from pwd import getpwuid
from typing import Any

from lab.records import SCHEMA, Environment


class RunStart:
    """The start of a run, on the calendar and on the clock, and how busy the machine was then."""

    def __init__(self) -> None:
        self.load = os.getloadavg()[0]
        self.moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._clock = time.monotonic()

    @property
    def wall_s(self) -> float:
        """Seconds since then, to the millisecond."""
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


def environment(directory: Path | None, load: float, recorder: str = "none") -> Environment:
    """The kernel, the processors, the Python, the filesystem of the directory, and the load at the start.

    Without a directory the memory was simulated, and so is the filesystem.

    Call it after the last fork: psutil imports threading, which would double the cost of every fork.
    """
    import psutil

    filesystem, options = _mount(directory) if directory else ("simulated", "")
    return Environment(
        lab=version(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        recorder=recorder,
        kernel=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=_cpu_model(),
        cpus=psutil.cpu_count() or 1,
        cpus_allowed=len(os.sched_getaffinity(0)),
        filesystem=filesystem,
        mount_options=options,
        load_at_start=round(load, 2),
    )


def anonymous_text(text: str) -> str:
    """The text with the home directory as ~ and the user's name, where it is a path component, as USER."""
    homes, names = _homes_and_names()
    for home in homes:
        text = re.sub(rf"(?<![\w/.-]){re.escape(home)}(?![\w-])", "~", text)
    for name in names - {"root", ""}:
        text = re.sub(rf"(?<=/){re.escape(name)}(?![\w-])", "USER", text)
    return text


def _homes_and_names() -> tuple[list[str], set[str]]:
    """The user's home directories and names, longest first: by $HOME, and by the password file where it knows them."""
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
    """The lab's own, as it was installed."""
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


def _mount(directory: Path) -> tuple[str, str]:
    """Type and options of the filesystem that holds the directory: the mount point that is its longest prefix."""
    import psutil

    place = directory.resolve()
    holders = [mount for mount in psutil.disk_partitions(all=True) if place.is_relative_to(mount.mountpoint)]
    if not holders:
        return "unknown", ""
    last = max(enumerate(holders), key=lambda item: (len(item[1].mountpoint), item[0]))[1]
    options = re.sub(r"\b(user|username|uname)=[^,]*", r"\1=USER", last.opts)
    return last.fstype, anonymous_text(options)
