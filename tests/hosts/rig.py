"""Two hosts or more on one machine, without root: each in namespaces of its own, behind a stand-in for ssh.

    with hosts_on("honest", tmp_path) as rig:
        run_lab("race", "counter", *rig.options, "--dir", rig.shared, env=rig.env)

Each host has its own mounts, network and clock: the second one's CLOCK_MONOTONIC is 5,000 s ahead, the third one's
10,000 s, and each says that it has a kernel of its own. What they share is one directory: `bind` is the same mount
everywhere, and any other name is a FUSE server of each host over one backing directory (tests/checking/fuse/variants),
so that each has a page cache of its own. At the end nothing is left, for all of it lives in those namespaces.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

from tests.helpers import ROOT, wait_until
from tests.needs import need

STAND_IN = Path(__file__).with_name("stand_in_ssh.py")
AHEAD_S = 5000
NAMES = "abcdefgh"
ENTER = ("nsenter", "--preserve-credentials", "--user", "--mount", "--net", "--uts", "--time")
UNSHARE = ("unshare", "--map-root-user", "--mount", "--net", "--uts", "--fork", "--kill-child", "--time", "--monotonic")

MAKE = """
set -e
hostname "$1"
mount --bind "$2/boot-$1" /proc/sys/kernel/random/boot_id
[ -z "$3" ] || mount --bind "$3" "$2/shared"
echo ready
exec cat
"""


@dataclass(frozen=True)
class Rig:
    """The hosts: `env` has the ssh that reaches them, `options` name them to the lab.

    `shared` is the directory under its name on the hosts; `backing` is what this process sees of it.
    """

    env: dict[str, str]
    hosts: list[str]
    shared: Path
    backing: Path
    pids: dict[str, int]
    """A process of each host, which keeps its namespaces."""
    cutting: tuple[str, ...] = ()
    """The options of the lab with which it may cut a host off from the file server, where it can be."""
    own: frozenset[int] = frozenset()
    """The processes of the rig itself."""

    @property
    def options(self) -> list[str]:
        """Return the options of the lab that name the hosts."""
        return ["--hosts", ",".join(self.hosts), "--python", sys.executable]

    def processes(self, host: str) -> dict[int, str]:
        """Return the lab's processes on a host, with their command lines; those of the rig itself are left out."""
        found = _processes_of(self.pids[host])
        return {pid: words for pid, words in found.items() if pid not in self.own and sys.executable in words}


def _processes_of(pid: int) -> dict[int, str]:
    """Return the processes that have the mounts of this one, with their command lines."""
    found = {}
    place = Path(f"/proc/{pid}/ns/mnt").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if (process / "ns/mnt").readlink() == place:
                found[int(process.name)] = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
    return found


def ssh(folder: Path, hosts: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return the environment in which ssh reaches these hosts (tests/hosts/stand_in_ssh.py)."""
    folder.mkdir(exist_ok=True)
    shutil.copy(STAND_IN, folder)
    (folder / "hosts.json").write_text(json.dumps(hosts))
    (folder / "ssh").write_text(f'#!/bin/sh\nexec {sys.executable} {folder / STAND_IN.name} "$@"\n')
    (folder / "ssh").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@contextmanager
def hosts_on(filesystem: str, folder: Path, count: int = 2, ahead_s: int = AHEAD_S) -> Iterator[Rig]:
    """Yield so many hosts that share a filesystem; the clock of each is so far ahead of the one before it."""
    need("own_hosts")
    names, pids = list(NAMES[:count]), dict[str, int]()
    shared, backing = folder / "shared", folder / "backing"
    for each in (shared, backing):
        each.mkdir()

    def mounted(name: str) -> bool:
        return f" {shared} " in Path(f"/proc/{pids[name]}/mountinfo").read_text()

    with ExitStack() as stack:
        source = backing if filesystem == "bind" else ""
        for index, name in enumerate(names):
            (folder / f"boot-{name}").write_text(f"{name}\n")
            words = [*UNSHARE, str(index * ahead_s)]
            pids[name] = stack.enter_context(namespaces(words, MAKE, name, folder, source))
        if filesystem != "bind":
            need("libfuse")
            for seed, name in enumerate(names):
                stack.enter_context(_server(pids[name], [filesystem, backing, shared, "--seed", seed]))
            wait_until(lambda: all(map(mounted, names)), f"{shared} is mounted on all hosts")
        env = ssh(folder / "bin", {name: {"enter": [*ENTER, "--target", str(pid)]} for name, pid in pids.items()})
        with watched(Rig(env, names, shared, backing, pids)) as rig:
            yield rig


@contextmanager
def watched(rig: Rig) -> Iterator[Rig]:
    """Yield the hosts with the processes that they have already; after the block no others are left."""
    rig = replace(rig, own=frozenset(pid for keeps in rig.pids.values() for pid in _processes_of(keeps)))

    def left() -> dict[str, dict[int, str]]:
        return {name: found for name in rig.hosts if (found := rig.processes(name))}

    try:
        yield rig
        wait_until(lambda: not left(), "nothing of the lab runs on the hosts")
    finally:
        for found in left().values():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)


@contextmanager
def namespaces(unshare: Sequence[str], script: str, *words: object) -> Iterator[int]:
    """Yield a process in namespaces of its own, once this script has made them ready; it ends with its input.

    The script prints a line when it is ready and becomes cat(1); all that this command keeps ends with it.
    """
    command = [*unshare, "sh", "-c", script, "sh", *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeps:
        assert keeps.stdout
        try:
            assert keeps.stdout.readline(), "no such namespaces"
            yield int(Path(f"/proc/{keeps.pid}/task/{keeps.pid}/children").read_text())
        finally:
            keeps.kill()


@contextmanager
def _server(pid: int, words: list[object]) -> Iterator[None]:
    """Serve the mount of a host, as long as the block lasts."""
    command = [
        *ENTER,
        f"--wd={ROOT}",
        "--target",
        pid,
        sys.executable,
        "-m",
        "tests.checking.fuse_server",
        "--until-eof",
        *words,
    ]
    with subprocess.Popen([*map(str, command)], cwd=ROOT, stdin=subprocess.PIPE) as server:
        try:
            yield
        finally:
            server.kill()
