"""What locks and data do on GlusterFS between three hosts, by layout and options: the table of docs/hosts.md.

    python tests/benchmarks/gluster.py [replica] [distribute]
    python tests/benchmarks/gluster.py cut

It needs root and what tests/hosts/gluster.py needs. Each row is one `lab check --hosts a,b,c --only probe,turns` on a
volume of its own: the locks that exclude, how many of the hand-offs were stale with the lock on the data file / on
another file, and the seconds that it took. `cut` prints what a check says of a host that is cut off while it holds
locks, with the default time limits of GlusterFS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.helpers import ROOT
from tests.hosts.gluster import LOCKS_AT_ONCE, NO_TRANSLATORS, gluster

LAYOUTS = {"replica": "replica 2", "distribute": "distribute"}
CLIENTS: dict[str, tuple[Mapping[str, str], Sequence[str]]] = {
    "default": ({}, ()),
    "eager-lock off": (LOCKS_AT_ONCE, ()),
    "and performance off": ({**LOCKS_AT_ONCE, **NO_TRANSLATORS}, ()),
    "and fopen-keep-cache off": ({**LOCKS_AT_ONCE, **NO_TRANSLATORS}, ("--fopen-keep-cache=no",)),
    "and direct-io-mode on": ({**LOCKS_AT_ONCE, **NO_TRANSLATORS}, ("--direct-io-mode=enable",)),
}
WAYS = ("pread, pwrite", "mapping", "reopened", "reopened, also open elsewhere", "size at the end", "names")
ASKED = ("--only", "probe,turns")
LIMIT_S = 300.0


def checked(layout: str, client: str) -> tuple[dict[str, Any], float]:
    options, mounted = CLIENTS[client]
    with TemporaryDirectory() as folder, gluster(Path(folder), LAYOUTS[layout], options, mounted) as rig:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "lab", "check", *rig.options, rig.shared, *ASKED, "--no-save", "--json", "-"],
            env={**os.environ, **rig.env}, cwd=ROOT, capture_output=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        return json.loads(done.stdout), time.monotonic() - begun


def stale(turns: Sequence[Mapping[str, Any]], way: str, place: str) -> str:
    """The part of the hand-offs that were stale, over the locks; what the mount refuses is "-"."""
    found = [each for each in turns if each["way"] == way and each["place"] == place]
    handoffs = sum(each["handoffs"] for each in found)
    return f"{sum(each['stale'] for each in found) / handoffs:.0%}" if handoffs else "-"


def row(layout: str, client: str) -> list[str]:
    try:
        found, seconds = checked(layout, client)
    except subprocess.TimeoutExpired:
        return [f"{layout}, {client}", f"not done in {LIMIT_S:g} s"]
    granted = {each["lock"] for each in found["probes"] if each["verdict"] != "safe"}
    excluded = [lock for lock in dict.fromkeys(each["lock"] for each in found["probes"]) if lock not in granted]
    shown = [f"{stale(found['turns'], way, 'data')} / {stale(found['turns'], way, 'other')}" for way in WAYS]
    return [f"{layout}, {client}", ", ".join(excluded), *shown, f"{seconds:.0f}"]


def cut_off() -> int:
    with TemporaryDirectory() as folder, gluster(Path(folder)) as rig:
        words = [*rig.options, str(rig.shared), "--only", "partition", *rig.cutting, "--no-save"]
        command = [sys.executable, "-m", "lab", "check", *words]
        return subprocess.run(command, env={**os.environ, **rig.env}, cwd=ROOT, check=False).returncode


def main() -> None:
    if sys.argv[1:] == ["cut"]:
        sys.exit(cut_off())
    say("volume and client", "excluded", *WAYS, "s")
    say(*["---"] * (len(WAYS) + 3))
    for layout in sys.argv[1:] or list(LAYOUTS):
        for client in CLIENTS:
            say(*row(layout, client))


def say(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
