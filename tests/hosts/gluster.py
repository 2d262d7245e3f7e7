"""Three hosts that share a GlusterFS volume, on one machine and as root: each a real sshd, a glusterd and a mount.

    with gluster(tmp_path, "replica 2") as rig:
        run_lab("hosts", *rig.options, "--dir", rig.shared, env=rig.env)

Each host has its own processes, mounts, network and clock; a hub joins the networks and is where `ssh` starts from.
What a glusterd keeps lies in file systems in memory, of its host alone. So nothing is left: the processes end with the
first one of their namespace, and the mounts with the last. From Debian: glusterfs-server, glusterfs-client,
openssh-server.

A home of their own keeps the shells that sshd starts from what the user's own has in its start files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.helpers import PATIENCE_S, wait_until
from tests.hosts.rig import AHEAD_S, Rig, namespaces, watched
from tests.needs import need

VOLUME, NET = "v", "10.77.0"
HOSTS = {name: f"{NET}.{number}" for number, name in enumerate("abc", 1)}
UNSHARE = ("unshare", "--mount", "--net", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child")
ENTER = ("nsenter", "--mount", "--net", "--uts", "--pid", "--time")

HOST = """
set -e
hostname "$1"
mount --bind "$2/boot-$1" /proc/sys/kernel/random/boot_id
mount --bind "$2/gsyncd" "$(echo /usr/lib/*/glusterfs/gsyncd)"
for place in /run /var/lib/glusterd /var/log/glusterfs /mnt; do mount -t tmpfs tmpfs "$place"; done
mkdir -p /run/sshd /mnt/brick "$2/shared"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
echo ready
exec cat
"""

LOCKS_AT_ONCE = {"cluster.eager-lock": "off"}
"""The option of a volume that hands a lock over in 4 ms; by default that takes 0.5 to 1.2 s."""

GIVES_UP_SOON = {
    "network.ping-timeout": "2",
    "client.tcp-user-timeout": "2",
    "server.tcp-user-timeout": "3",
    "server.keepalive-time": "1",
    "server.keepalive-interval": "1",
    "server.keepalive-count": "2",
}
"""The options of a volume whose servers and clients give each other up after some seconds; by default after 42."""

NO_TRANSLATORS = {
    f"performance.{name}": "off"
    for name in ("write-behind", "read-ahead", "io-cache", "quick-read", "stat-prefetch", "open-behind", "flush-behind")
}
"""The options of a volume whose performance translators are off."""

SSHD = """
Port 22
HostKey {folder}/host-key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
SetEnv HOME=/run
PidFile none
PermitRootLogin yes
"""

SSH = """
Host *
  IdentityFile {folder}/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
"""


@contextmanager
def gluster(
    folder: Path, layout: str = "replica 2", options: Mapping[str, str] | None = None, mounted: Sequence[str] = ()
) -> Iterator[Rig]:
    """Yield the hosts, with a volume of this layout, `replica 2` or `distribute`, mounted on each.

    The options are set on the volume; `mounted` are more words of glusterfs(8).
    """
    need("gluster")
    shared = folder / "shared"
    shared.mkdir()
    write_configuration(folder, HOSTS)
    with ExitStack() as stack:
        hub = stack.enter_context(network(folder))
        hosts = {}
        for index, (name, address) in enumerate(HOSTS.items()):
            (folder / f"boot-{name}").write_text(f"{name}\n")
            clock = ("--time", "--monotonic", str(index * AHEAD_S))
            hosts[name] = stack.enter_context(namespaces([*UNSHARE, *clock], HOST, name, folder))
            plug(hub, hosts[name], name, address)
        for pid in hosts.values():
            run(*on(pid), shutil.which("sshd"), "-f", folder / "sshd")
            run(*on(pid), "sh", "-c", "glusterd --no-daemon >/dev/null 2>&1 &")
        _make_volume(list(hosts.values()), layout, options or {})
        for pid in hosts.values():
            run(*on(pid), "glusterfs", "--volfile-server=localhost", f"--volfile-id={VOLUME}", *mounted, shared)
        for name, pid in hosts.items():
            mounts = Path(f"/proc/{pid}/mountinfo")
            wait_until(partial(_has, mounts, f" {shared} "), f"the volume is mounted on {name}")
        cut = _write_cut(folder, hosts)
        cutting = ("--faults", "--cut", f"{cut} add", "--heal", f"{cut} del")
        env = {"PATH": f"{folder}:{os.environ['PATH']}"}
        with watched(Rig(env, list(hosts), shared, folder, hosts, cutting)) as rig:
            yield rig


def _write_cut(folder: Path, hosts: Mapping[str, int]) -> Path:
    """Write a command that cuts a host off from the others, or heals it; the hub, where ssh starts, still reaches it.

    The others have a route to it that leads nowhere, and drop what comes from there (rp_filter): it is told nothing.
    """
    path = folder / "cut"
    lines = []
    for name in hosts:
        for other in hosts.keys() - {name}:
            command = " ".join([*on(hosts[other]), "ip", "route", "$1", "blackhole", HOSTS[name]])
            lines.append(f"[ $2 != {name} ] || {command}")
    _write_script(path, "\n".join(["set -e", *lines]))
    return path


@contextmanager
def network(folder: Path) -> Iterator[int]:
    """Yield a process in a network whose bridge joins those of the hosts; the ssh in the folder starts from there."""
    with namespaces(["unshare", "--net", "--fork", "--kill-child"], "echo ready; exec cat") as hub:
        for words in ("link add hub type bridge", "link set hub up", f"addr add {NET}.100/24 dev hub"):
            run(*on_hub(hub), "ip", *words.split())
        command = " ".join([*on_hub(hub), str(shutil.which("ssh")), "-F", f"{folder}/config"])
        _write_script(folder / "ssh", f'exec {command} "$@"')
        yield hub


def plug(hub: int, host: int, name: str, address: str) -> None:
    """Join the network of a host to that of the hub."""
    run("ip", *f"link add eth0 netns {host} type veth peer name to-{name} netns {hub}".split())
    run(*on_hub(hub), "ip", "link", "set", f"to-{name}", "master", "hub", "up")
    for words in (f"addr add {address}/24 dev eth0", "link set eth0 up"):
        run(*on(host), "ip", *words.split())


def _make_volume(hosts: Sequence[int], layout: str, options: Mapping[str, str]) -> None:
    def gluster(*words: str) -> str:
        return run(*on(hosts[0]), "gluster", "--mode=script", *words)

    for pid in hosts:
        wait_until(partial(_ends_well, *on(pid), "gluster", "pool", "list"), "glusterd answers")
    for index in range(1, len(hosts)):
        gluster("peer", "probe", list(HOSTS.values())[index])
    wait_until(lambda: gluster("pool", "list").count("Connected") == len(hosts), "the peers are connected")
    bricks = [f"{address}:/mnt/brick" for address in list(HOSTS.values())[:2]]
    gluster("volume", "create", VOLUME, *(["replica", "2"] if layout == "replica 2" else []), *bricks, "force")
    for name, value in options.items():
        gluster("volume", "set", VOLUME, name, value)
    gluster("volume", "start", VOLUME)


def write_configuration(folder: Path, hosts: Mapping[str, str]) -> None:
    """Write the keys and the configuration of ssh and sshd for hosts with these addresses."""
    for name in ("host-key", "key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    (folder / "sshd").write_text(SSHD.format(folder=folder))
    named = "".join(f"Host {name}\n  HostName {address}\n" for name, address in hosts.items())
    (folder / "config").write_text(named + SSH.format(folder=folder))
    # Replication to other clusters, which each glusterd sets up at its start for 20 s.
    _write_script(folder / "gsyncd", "echo gsyncd")


def _write_script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _has(path: Path, text: str) -> bool:
    return text in path.read_text()


def _ends_well(*words: str) -> bool:
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def on_hub(hub: int) -> list[str]:
    return ["nsenter", "--target", str(hub), "--net"]


def on(pid: int) -> list[str]:
    return [*ENTER, "--target", str(pid)]


def run(*words: object) -> str:
    command = [*map(str, words)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
