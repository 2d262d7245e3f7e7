"""What locks and data do on NFSv4.1 between two hosts with a kernel each: guests of user-mode Linux, and nfs-ganesha.

    sudo python tests/benchmarks/nfs.py [cut | WORDS of lab, with SHARED for the directory]

By default the words are `check SHARED --only probe,turns --no-save`; with `cut` guest b is cut off from the server
while it holds locks, whose lease is 10 s. From Debian: user-mode-linux, nfs-ganesha-vfs,
nfs-common, kmod, openssh-server, iproute2, gcc. The guests see the file system of this machine, so nothing is installed
on them; at the end they, the server and the network are gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.helpers import ROOT, wait_until
from tests.hosts import gluster
from tests.hosts.rig import namespaces

HERE = Path(__file__).parent
GUESTS = {"a": "10.77.0.11", "b": "10.77.0.12"}
CUT = ["--only", "partition", "--faults", "--cut", "FOLDER/cut on", "--heal", "FOLDER/cut off", "--cut-seconds", "60"]
DEFAULT = ["check", "SHARED", "--only", "probe,turns", "--no-save"]
PATIENT = ["--timeout", "150"]
"""A guest starts Python in some ten seconds."""

SERVER = """
for place in /run /var/lib/nfs; do mount -t tmpfs tmpfs $place; mkdir -p $place/ganesha; done
ip link set lo up
echo ready
exec cat
"""

GANESHA = """
NFS_CORE_PARAM {{ Protocols = 4; Bind_addr = 10.77.0.1; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSV4 {{ Graceless = true; Lease_Lifetime = 10; Minor_Versions = 1,2; Delegations = false; }}
EXPORT {{ Export_Id = 1; Path = {folder}/export; Pseudo = /x; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
  Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }} }}
"""


def run(folder: Path, words: list[str]) -> int:
    for name in ("shared", "export", "lib", "guests"):
        (folder / name).mkdir()
    (folder / "lib/modules").symlink_to("/usr/lib/uml/modules")
    (folder / "ganesha").write_text(GANESHA.format(folder=folder))
    gluster.write_configuration(folder, GUESTS)
    cure = folder / "nfs_xstate.so"
    gluster.run("cc", "-O2", "-shared", "-fPIC", "-o", cure, HERE / "nfs_xstate.c")
    with ExitStack() as stack:
        hub = stack.enter_context(gluster.network(folder))
        server = stack.enter_context(namespaces([*gluster.UNSHARE, "--time", "--monotonic", "0"], SERVER))
        gluster.plug(hub, server, "server", "10.77.0.1")
        serve = f"ganesha.nfsd -F -f {folder}/ganesha -L {folder}/log >/dev/null 2>&1 &"
        gluster.run(*gluster.on(server), "sh", "-c", serve)
        stack.callback((folder / "quit").touch)
        for name, address in GUESTS.items():
            for line in (f"tuntap add tap-{name} mode tap", f"link set tap-{name} master hub up"):
                gluster.run(*gluster.on_hub(hub), "ip", *line.split())
            guest = [
                *gluster.on_hub(hub), "unshare", "--pid", "--fork", "--kill-child", "env", f"LD_PRELOAD={cure}",
                "linux.uml", "mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet",
                f"init={HERE}/nfs_guest.sh", "con=null", f"vec0:transport=tap,ifname=tap-{name},depth=64",
                f"name={name}", f"address={address}", f"rig={folder}", f"umid={name}", f"uml_dir={folder}/guests",
            ]  # fmt: skip
            process = subprocess.Popen(guest, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
        wait_until(lambda: all((folder / f"up.{name}").exists() for name in GUESTS), "the guests have the mount")
        write_cut(folder, hub)
        said = [word.replace("SHARED", str(folder / "shared")).replace("FOLDER", str(folder)) for word in words]
        command = [
            sys.executable,
            "-m",
            "lab",
            *said,
            *PATIENT,
            "--hosts",
            ",".join(GUESTS),
            "--python",
            "/usr/bin/python3",
        ]
        return subprocess.run(
            command, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}, cwd=ROOT, check=False
        ).returncode


def write_cut(folder: Path, hub: int) -> None:
    """Write a command that cuts a guest off from the server, or heals it: the bridge passes nothing between the two."""
    path = folder / "cut"
    bridge = " ".join([*gluster.on_hub(hub), "bridge link set dev"])
    path.write_text(f"#!/bin/sh\nset -e\n{bridge} to-server isolated $1\n{bridge} tap-$2 isolated $1\n")
    path.chmod(0o755)


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        asked = ["check", "SHARED", *CUT, "--no-save"] if sys.argv[1:] == ["cut"] else sys.argv[1:] or DEFAULT
        sys.exit(run(Path(temporary), asked))
