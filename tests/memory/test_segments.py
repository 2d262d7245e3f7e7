"""Memory that cannot be had: one line that names the backing, the cause and the next step."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.memory import BACKINGS
from lab.memory.segments import SegmentBacking
from tests.helpers import ROOT
from tests.needs import need

SEGMENTS = [backing for backing in BACKINGS.values() if isinstance(backing, SegmentBacking)]
TRY = """
import sys
from pathlib import Path
from lab.errors import CannotRunError
from lab.memory import find_backing
try:
    with find_backing(sys.argv[1]).share(Path(sys.argv[2]), bytes(int(sys.argv[3]))):
        print("shared")
except CannotRunError as error:
    print(error)
"""


def told_in(namespace: str, set_up: str, backing: str, path: Path, size: int) -> str:
    """What is said of a backing in a new namespace (unshare(1)), after these commands; skips where there is none."""
    need("namespaces")
    done = subprocess.run(
        [  # noqa: S607
            "unshare",
            namespace,
            "sh",
            "-ec",
            f'{set_up}\nexec "$@"',
            "sh",
            sys.executable,
            "-c",
            TRY,
            backing,
            path,
            str(size),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stderr == ""
    assert list(path.parent.iterdir()) == []
    return done.stdout


@pytest.mark.parametrize(
    ("limit", "told"),
    [("shmmax", "The size is invalid"), ("shmall", "ENOSPC"), ("shmmni", "ENOSPC")],
)
def test_a_segment_beyond_the_limits_of_system_v_is_refused_in_a_line(limit: str, told: str, tmp_path: Path) -> None:
    said = told_in("--ipc", f"echo 0 > /proc/sys/kernel/{limit}", "sysv", tmp_path / "file", 5000)
    assert said.startswith("backing sysv: refused for 5,000 bytes (")
    assert told in said
    assert said.endswith(
        "; ask for less: fewer rounds or workers, smaller sizes, "
        "or raise kernel.shmmax, kernel.shmall or kernel.shmmni (sysctl)\n"
    )
    assert said.count("\n") == 1


def test_a_full_dev_shm_is_refused_beforehand_and_no_sigbus_later(tmp_path: Path) -> None:
    small = "mount -t tmpfs -o size=64k lab-test /dev/shm"
    assert told_in("--mount", small, "posix", tmp_path / "file", 131_072) == (
        "backing posix: refused for 131,072 bytes (No space left on device); "
        "free some of /dev/shm or mount more, or ask for less: fewer rounds or workers, smaller sizes\n"
    )
    assert told_in("--mount", small, "posix", tmp_path / "file", 4096) == "shared\n"


def test_a_dev_shm_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    said = told_in("--mount", "mount -t tmpfs -o ro lab-test /dev/shm", "posix", tmp_path / "file", 8)
    assert said.startswith("backing posix: refused for 8 bytes (")
    assert said.endswith("; make /dev/shm writable, or choose another backing\n")


@pytest.mark.parametrize(("name", "package"), [("sysv", "sysv_ipc"), ("posix", "posix_ipc")])
def test_a_package_that_is_missing_is_named(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        CannotRunError, match=f"backing {name}: needs the Python package {package} .*; install it"
    ) as raised:
        BACKINGS[name].share(tmp_path / "file", bytes(8)).__enter__()
    assert (raised.value.exit_code, list(tmp_path.iterdir())) == (3, [])


def test_the_packages_are_loaded_only_when_their_backing_is_chosen() -> None:
    asked = "import lab.memory, lab.racing, sys; print({'sysv_ipc', 'posix_ipc'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"


def test_a_size_that_sysv_ipc_takes_for_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    package = import_module("sysv_ipc")
    made = package.SharedMemory
    monkeypatch.setattr(
        package, "SharedMemory", lambda *rest, size, **named: made(*rest, size=size % (1 << 64), **named)
    )
    with pytest.raises(CannotRunError, match="backing sysv: refused for 18,446,744,073,709,551,624 bytes"):
        BACKINGS["sysv"].memory((1 << 64) + 8, sparse=True).__enter__()  # type: ignore[attr-defined]


@pytest.mark.parametrize("backing", SEGMENTS, ids=lambda backing: backing.name)
def test_pages_of_zeros_cost_nothing_where_they_are_to_be_sparse(backing: SegmentBacking, tmp_path: Path) -> None:
    content = bytearray(64 << 20)
    content[50 << 20] = 5
    before = rss_of_shared_memory()
    with backing.share(tmp_path / "file", content, sparse=True) as shared:
        assert rss_of_shared_memory() - before < 1 << 20
        opened = shared.open(tmp_path / "file")
        assert opened.load(50 << 20, 1) == b"\5"
        opened.close()


def rss_of_shared_memory() -> int:
    """Bytes of shared memory that this process has touched (proc(5), RssShmem)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssShmem")]
    return 1024 * int(line.split()[1])
