"""Filesystems that are broken in one way each: `python -m tests.checking.fuse_server VARIANT BACKING MOUNTPOINT`.

Each serves the directory BACKING through FUSE (mfusepy over libfuse 3), in the foreground and with threads,
until it is unmounted. Two of them over one BACKING are two hosts of one network filesystem. The honest one, and
what it cannot do, is in fuse/honest.py, and how each of the others differs from it in fuse/variants.py.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from threading import Thread

from tests.checking.fuse.stopping import MOMENT, stop_at
from tests.checking.fuse.variants import VARIANTS

MAX_THREADS = 200
"""Each waiter occupies one; libfuse's own limit of 10 would be a deadlock of its own."""


def serve(variant: str, backing: Path, mountpoint: Path, seed: int, *, alone: bool, stops: Sequence[str]) -> None:
    """Mount it and answer until it is unmounted, or until the request at which it stops: kind, number, how."""
    os.environ["FUSE_LIBRARY_NAME"] = "fuse3"
    os.umask(0)  # the kernel has applied the caller's
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    signal.signal(signal.SIGUSR1, lambda *_: None)  # what libfuse sends to a thread whose request is interrupted
    operations = VARIANTS[variant](backing, seed)
    operations.alone = alone
    if stops:
        kind, number, how = stops
        stop_at(operations, kind, int(number), how, backing.with_name(MOMENT))
    import_module("mfusepy").FUSE(
        operations,
        str(mountpoint),
        raw_fi=True,
        foreground=True,
        fsname=f"lab-{variant}",
        use_ino=True,
        intr=True,
        max_threads=MAX_THREADS,
        max_idle_threads=MAX_THREADS,
        **{"attr_timeout": 0, "entry_timeout": 0, **operations.options},
    )


def end_with_input() -> None:
    """End at once when the standard input does, as it does with the process that holds its other end."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("backing", type=Path)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="nobody else changes the backing directory")
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input does")
    parser.add_argument(
        "--stop-at", nargs=3, default=[], metavar=("KIND", "NUMBER", "HOW"), help="see fuse/stopping.py"
    )
    args = parser.parse_args()
    if args.until_eof:
        Thread(target=end_with_input, daemon=True).start()
    serve(
        args.variant, args.backing.resolve(), args.mountpoint.resolve(), args.seed, alone=args.alone, stops=args.stop_at
    )


if __name__ == "__main__":
    main()
