"""What locks and data do on GlusterFS between three hosts, by layout and options: the table of docs/hosts.md.

    python tests/benchmarks/gluster.py [replica] [distribute]

It needs root and what tests/hosts/gluster.py needs. Each row is one `lab check --hosts a,b,c` on a volume of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
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
SHOWN = (
    "posix",
    "ofd",
    "flock",
    "pread",
    "mapping",
    "mixed",
    "remapped",
    "remapped_pread",
    "whole_file",
    "size",
    "entries",
)
LIMIT_S = 300.0


def checked(layout: str, client: str) -> tuple[dict[str, Any], float]:
    options, mounted = CLIENTS[client]
    with TemporaryDirectory() as folder, gluster(Path(folder), LAYOUTS[layout], options, mounted) as rig:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "lab", "check", *rig.options, rig.shared, "--no-save", "--json", "-"],
            env={**os.environ, **rig.env}, cwd=ROOT, capture_output=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        return json.loads(done.stdout), time.monotonic() - begun


def rows(layouts: Sequence[str]) -> Iterator[list[str]]:
    yield ["volume and client", *SHOWN, "s"]
    for layout in layouts:
        for client in CLIENTS:
            found, seconds = checked(layout, client)
            verdicts = {each["name"]: each["verdict"] for each in found["guarantees"]}
            yield [f"{layout}, {client}", *(verdicts.get(name, "-") for name in SHOWN), f"{seconds:.0f}"]


def main() -> None:
    for row in rows(sys.argv[1:] or list(LAYOUTS)):
        sys.stdout.write(" | ".join(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
