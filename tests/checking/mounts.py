"""Filesystems for the tests, made on entering a block and undone on every way out of it.

    with FILESYSTEMS["fuse_honest_two"]() as directories:
        ...

Each yields the directories to check: one, or two that are the same files. Where the machine cannot, entering
raises Missing with the reason, and the test skips.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import gettempdir

from tests.checking.fuse.serving import bindfs, fuse, sshfs
from tests.checking.fuse.variants import VARIANTS
from tests.checking.mounting import abort, mount, room
from tests.needs import Missing, need, need_program

__all__ = ["BAD_INPUT", "FILESYSTEMS", "Filesystem", "Missing", "abort"]

LOOP_TRIES = 50
"""How often a loop device is asked for where all are taken, 0.1 s apart."""

Filesystem = Callable[[], AbstractContextManager[list[Path]]]


@contextmanager
def ext4() -> Iterator[list[Path]]:
    """A directory on ext4 where temporary files are on ext4, else ext4 in a file."""
    command = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", gettempdir()]
    here = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    with room("plain") if here == "ext4" else loop("ext4", 64) as directories:
        yield directories


@contextmanager
def tmpfs(options: str = "rw") -> Iterator[list[Path]]:
    """A tmpfs of its own."""
    need("mounts")
    with room("mounted") as [point]:
        mount("-t", "tmpfs", "-o", options, "tmpfs", point)
        yield [point]


@contextmanager
def loop(kind: str, mebibytes: int) -> Iterator[list[Path]]:
    """A filesystem in a file; its loop device goes with the mount."""
    need("mounts")
    need_program(f"mkfs.{kind}")
    with room("image", "mounted") as [folder, point]:
        image = folder / "image"
        image.touch()
        os.truncate(image, mebibytes << 20)
        subprocess.run([f"mkfs.{kind}", "-q", image], capture_output=True, check=True)
        _mount_image(image, point)
        yield [point]


def _mount_image(image: Path, point: Path) -> None:
    """Mount it as soon as there is a loop device: other tests use them too."""
    for _ in range(LOOP_TRIES):
        try:
            return mount("-o", "loop", image, point)
        except Missing as missing:
            if "loop device" not in str(missing):
                raise
            time.sleep(0.1)
    raise Missing("no loop device is free")


@contextmanager
def overlay(*, upper_too: bool = False) -> Iterator[list[Path]]:
    """An overlay with its upper directory where temporary files are; first that directory, where asked for."""
    need("mounts")
    with room("lower", "upper", "work", "merged") as [lower, upper, work, merged]:
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", merged)
        yield [upper, merged] if upper_too else [merged]


@contextmanager
def bind(*, original_too: bool = False) -> Iterator[list[Path]]:
    """A directory that is mounted a second time; first the original, where asked for."""
    need("mounts")
    with room("original", "bound") as [original, bound]:
        mount("--bind", original, bound)
        yield [original, bound] if original_too else [bound]


BETWEEN = frozenset({"posix_alone", "flock_alone", "kept", "staged"})
"""Variants that are broken between two mounts only."""

ALONE = frozenset({"slow", "no_rename"})
"""Variants of which a second mount shows nothing new, and takes long."""

OF_HOSTS = frozenset({"fenced", "unfenced", "loose_names"})
"""Variants that only hosts are checked on (tests/hosts)."""

OF_FILES = OF_HOSTS | frozenset({
    "no_excl", "no_excl_mkdir", "no_excl_link", "two_step_rename", "late_names", "appends_blindly", "late_size",
    "snapshots", "keeps_cache",
})  # fmt: skip
"""Variants whose locks are the honest server's: tests/checking/test_files.py checks their files."""

LIKE_ONE = (
    "always", "direct_io", "enosys", "false_deadlock", "forgets_on_close", "leaks_ofd", "lies_100", "lies_1000",
    "never_answers", "no_merge", "wakes_nobody", "whole_file",
)  # fmt: skip
"""Variants whose locks are judged on two mounts as on one."""

LIKE = {"ext4_loop": "ext4", "bind": "bind_pair", **{f"fuse_{name}_two": f"fuse_{name}" for name in LIKE_ONE}}
"""Filesystems whose locks are judged as those of another: only LAB_EXHAUSTIVE=1 has a check of both."""

FILESYSTEMS: dict[str, Filesystem] = {
    "ext4": ext4,
    "ext4_loop": partial(loop, "ext4", 64),
    "tmpfs": tmpfs,
    "xfs": partial(loop, "xfs", 320),
    "btrfs": partial(loop, "btrfs", 128),
    "overlay": overlay,
    "overlay_upper": partial(overlay, upper_too=True),
    "bind": bind,
    "bind_pair": partial(bind, original_too=True),
    "full": partial(tmpfs, "size=64k"),
    "read_only": partial(tmpfs, "ro"),
    "bindfs": bindfs,
    "bindfs_two": partial(bindfs, 2),
    "sshfs": sshfs,
    "sshfs_two": partial(sshfs, 2),
    **{f"fuse_{variant}": partial(fuse, variant) for variant in VARIANTS if variant not in BETWEEN | OF_FILES},
    **{f"fuse_{variant}_two": partial(fuse, variant, 2) for variant in VARIANTS if variant not in ALONE | OF_FILES},
}
"""Every filesystem by its name; those that end in _two yield two mounts of one directory."""

BAD_INPUT = frozenset({"full", "read_only"})
"""Those on which nothing can be found out: one has 64 KiB, the other nobody can write to."""
