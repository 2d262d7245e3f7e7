import json
import mmap
import os
import resource
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.memory import named
from lab.survey import backings
from lab.survey.backings import BACKINGS, CLAIMS, PROPERTIES
from tests.helpers import in_fresh_process


def looked(directory: str, replaced: str = "", by: str = "") -> dict[str, Any]:
    if replaced:
        named.SPECIMENS[replaced] = getattr(named, by)
    return asdict(backings.compare(Path(directory), lambda _: None))


def cell(run: dict[str, Any], name: str, backing: str) -> str:
    (found,) = [each["observed"] for each in run["cells"] if (each["property"], each["backing"]) == (name, backing)]
    return str(found)


def differences(run: dict[str, Any]) -> set[tuple[str, str]]:
    return {(cell["property"], cell["backing"]) for cell in run["cells"] if not cell["ok"]}


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm"])  # noqa: S108 - a fresh directory is made there
def test_every_property_of_every_backing_is_as_expected(directory: str) -> None:
    run = in_fresh_process(looked, directory)
    assert len(run["cells"]) == len(PROPERTIES) * len(BACKINGS) == 66
    assert differences(run) == set()
    backing = {cell["backing"]: cell["observed"] for cell in run["cells"] if cell["property"] == "backing store"}
    filesystem = run["environment"]["filesystem"]
    assert backing["mapped"] == f"a file, mapped, {filesystem}"
    assert backing["stream"] == f"a file, not mapped, {filesystem}"
    assert backing["posix"] == "kernel memory, /dev/shm/..."
    assert backing["sysv"].startswith("kernel memory, /SYSV")
    assert backing["anonymous"] == "kernel memory, /dev/zero"
    none = "no descriptor"
    assert {backing: cell(run, "read(2) sees it", backing) for backing in BACKINGS} == {
        "mapped": "yes", "private": "no", "stream": "yes", "sysv": none, "posix": "yes", "anonymous": none
    }  # fmt: skip


def test_nothing_stays_behind(tmp_path: Path) -> None:
    pid, run = in_fresh_process(looked_by, str(tmp_path))
    key = int(cell(run, "key", "sysv").split()[-1], 16)
    segments = [int(line.split()[0]) for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    assert key not in segments
    assert list(Path("/dev/shm").glob(f"lab-{pid}-*")) == []  # noqa: S108 - a name
    assert list(tmp_path.iterdir()) == []


def looked_by(directory: str) -> tuple[int, dict[str, Any]]:
    return os.getpid(), looked(directory)


class OtherMemory(named.File):
    """Bytes of memory that the kernel calls otherwise than those that are known."""

    def find(self) -> None:
        self.descriptor = os.memfd_create("elsewhere")
        os.ftruncate(self.descriptor, named.SIZE)
        self._map(self.flags)


named.OtherMemory = OtherMemory  # type: ignore[attr-defined]


class Numbered(named.SystemVSegment):
    """Its key is a number of its own, and not that of ftok(3)."""

    def _free_key(self) -> int:
        return super()._free_key() ^ 1 << 16


named.Numbered = Numbered  # type: ignore[attr-defined]


class SharedByChildren(named.PrivateFile):
    """Who makes it shares it with children; who finds it has bytes of its own."""

    def make(self) -> None:
        super().make()
        self._map(mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)


named.SharedByChildren = SharedByChildren  # type: ignore[attr-defined]


def test_the_additions_to_bytes_that_add_up_are_told(tmp_path: Path) -> None:
    run = in_fresh_process(with_additions_that_add_up, str(tmp_path))
    assert cell(run, "synchronisation", "mapped") == "none: 2 of 2"
    assert ("synchronisation", "mapped") in differences(run)


def with_additions_that_add_up(directory: str) -> dict[str, Any]:
    def add(self: backings.Operations) -> None:
        self._specimen.store(self._specimen.load() + 1)

    backings.Operations.add = add  # type: ignore[method-assign]
    return looked(directory)


class Refused(named.File):
    flags = 0  # neither shared nor private: EINVAL


named.Refused = Refused  # type: ignore[attr-defined]


def test_a_backing_that_is_refused_says_with_which_errno(tmp_path: Path) -> None:
    run = in_fresh_process(looked, str(tmp_path), "mapped", "Refused")
    cells = {cell["property"]: cell["observed"] for cell in run["cells"] if cell["backing"] == "mapped"}
    assert (cells["set-up"], cells["key"], cells["seen by others"]) == ("EINVAL", "refused", "refused")


def without_descriptors(directory: str, spare: int) -> str:
    """What a comparison comes to where so many descriptors are left."""
    backings.compare(Path(directory), lambda _: None)  # what it imports is there then
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1 + spare, hard))  # noqa: PTH208
    try:
        run = looked(directory)
    except CannotRunError as error:
        return str(error)
    return f"differs in {differences(run)}" if differences(run) else "as expected"


def test_a_limit_on_descriptors_is_told_as_that_and_not_as_differences(tmp_path: Path) -> None:
    told = [in_fresh_process(without_descriptors, str(tmp_path), spare) for spare in range(9)]
    assert told[-1] == "as expected"
    assert {line.partition("; ")[2] for line in told if line != "as expected"} == {
        "raise the limit (ulimit -n)",
        "raise the limits (ulimit -u, -n)",
    }
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_claim_for_each_property_of_each_backing() -> None:
    assert set(CLAIMS) == {each.name for each in PROPERTIES}
    assert {len(claims) for claims in CLAIMS.values()} == {len(BACKINGS)}
    assert set(BACKINGS) == set(named.SPECIMENS)
    assert json.dumps(CLAIMS)


SHARES_NOTHING = {"seen by others", "read(2) sees it", "persistence", "synchronisation"}


@pytest.mark.parametrize(
    ("replaced", "by", "wrong", "others", "name", "seen"),
    [
        ("mapped", "PrivateFile", SHARES_NOTHING, False, "", ""),
        ("sysv", "Anonymous", {"key", "seen by others", "persistence", "key removed"}, True, "", ""),
        ("posix", "File", {"backing store", "key"}, True, "", ""),
        ("mapped", "Stream", {"backing store"}, False, "backing store", "a file, not mapped"),
        ("stream", "File", {"backing store"}, False, "backing store", "a file, mapped"),
        ("posix", "OtherMemory", {"backing store"}, True, "backing store", "/memfd:elsewhere"),
        ("sysv", "Numbered", {"key"}, False, "key", "a number, 0x"),
        ("mapped", "SharedByChildren", {"synchronisation"}, True, "synchronisation", "nothing shared"),
    ],
)
def test_what_is_another_kind_of_memory_is_not_taken_for_the_one_that_it_replaces(
    replaced: str, by: str, wrong: set[str], others: bool, name: str, seen: str, tmp_path: Path
) -> None:
    """`others`: that it differs in more is of no importance."""
    run = in_fresh_process(looked, str(tmp_path), replaced, by)
    found = differences(run)
    assert {(each, replaced) for each in wrong} <= found
    assert others or len(found) == len(wrong)
    assert not name or cell(run, name, replaced).startswith(seen)


def test_what_python_itself_maps_meanwhile_is_not_taken_for_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "7f0000000000-7f0000001000 rw-s 00000000 08:01 7 {}\n"
    maps = tmp_path / "maps"
    names = ["[heap]", "/usr/lib/python3/_new.cpython-311-x86_64-linux-gnu.so", "/usr/lib/libm.so.6", "/data/my foo"]
    maps.write_text("".join(map(line.format, names)) + "7f0000002000-7f0000003000 rw-p 00000000 00:00 0 \n")
    monkeypatch.setattr(backings, "Path", lambda _: maps)
    assert dict(backings._mapped_names()) == {"/data/my foo": 1}
