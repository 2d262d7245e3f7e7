"""What is recorded of the machine: enough to read the figures by, nothing about its user."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from lab.results import Environment

from .hold import RECORDER


def environment(directory: Path, load: float) -> Environment:
    """The kernel, the processors, the Python, the filesystem of the directory, and the load at the start.

    Call it after the last fork: psutil imports threading, which would double the cost of every fork.
    """
    import psutil

    filesystem, options = _mount(directory)
    return Environment(
        lab=_version(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        recorder=RECORDER,
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
    try:
        home = Path.home()
    except RuntimeError:  # a user whom no password file knows, as in many containers
        return text
    if len(home.parts) > 1:
        text = re.sub(rf"(?<![\w/.-]){re.escape(str(home))}(?![\w-])", "~", text)
    user = home.name
    return re.sub(rf"(?<=/){re.escape(user)}(?![\w-])", "USER", text) if user and user != "root" else text


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lock-race-lab")
    except PackageNotFoundError:
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
