"""A tracer sees of static programs what the library sees of others, and changes nothing."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import CannotRunError
from lab.processes import ptrace
from lab.records import WatchOptions
from lab.records.watch import WatchLevel
from lab.watching.run import judge_again, watch
from tests.helpers import EXHAUSTIVE, PATIENCE_S, ROOT, OtherProcess, run_lab
from tests.watching.test_gallery import COPIES, HANGS, HELPERS, RIGHT, WRONG, causes

pytestmark = pytest.mark.needs("compiler")

HERE = Path(__file__).parent
SAMPLE = {
    "plain", "child_waited_for", "shared_by_workers", "stream_flushed", "lock_file", "inode_checked", "made_exclusive",
    "closes_another", "closes_a_stream", "child_works", "stream_late", "unlocked_by_child", "kept_by_child",
    "updates_replaced", "cut_below", "in_pieces", "killed_inside", "went_on", "locks_after_exec",
}  # fmt: skip
EXPECTED = {
    **{name: set[str]() for name in RIGHT},
    **WRONG,
    "semaphore": {"no lock"},  # it makes no system call
}

ODD = {
    "code": (7, 0), "signalled": (0, signal.SIGTERM), "stopped": (0, 0), "own_filter": (0, 0), "traces": (0, 0),
    "vforked": (0, 0), "threads": (0, 0), "restarted": (0, 0), "interrupted": (0, 0),
}  # fmt: skip
REQUESTS = {"threads": (80, 0), "restarted": (2, 0), "interrupted": (1, 1)}
"""Of programs where it matters: how many requests for a lock were granted, and how many refused."""


def found(program: list[str], file: str, copies: int, limit_s: float, level: WatchLevel = "calls") -> list[object]:
    """Return each finding of a program as its cause, whether it is a note, and its places; and what else was seen."""
    Path(file).write_bytes(bytes(4096))
    words, keep = [*program, file, "{worker}"], f"{file}.logs"
    options = WatchOptions(words, copies, [], [], [], limit_s, keep, recorder="tracer", level=level)
    done = watch(options)
    again = judge_again(Path(keep), replace(options, recorder="library", level="calls"))
    assert (again.findings, again.options) == (done.findings, options)
    findings = [[each.cause, each.note, [call.place for call in each.calls]] for each in done.findings]
    ends = [[each.exit_code, each.signal] for each in done.outcomes]
    return [findings, ends, [[row.granted, row.refused] for row in done.locked]]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the compiled programs, which are static."""
    folder = tmp_path_factory.mktemp("static")
    for name in ("gallery", "odd"):
        command = ["cc", "-g", "-O1", "-w", "-static", str(HERE / f"{name}.c"), "-o", str(folder / name), "-pthread"]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def other() -> Iterator[OtherProcess]:
    with OtherProcess() as process:
        yield process


@pytest.mark.parametrize("name", [name for name in EXPECTED if EXHAUSTIVE or name in SAMPLE])
def test_a_tracer_finds_what_the_library_finds(programs: Path, other: OtherProcess, tmp_path: Path, name: str) -> None:
    command = [str(programs / "gallery"), name]
    findings, _, _ = other.call(found, command, str(tmp_path / "data"), COPIES, HANGS.get(name, 30.0))
    assert causes(findings) == EXPECTED[name]
    places = [place for _, _, calls in findings for place in calls if place]
    assert all(place.startswith("gallery.c:") for place in places), places
    if findings:
        assert any(place.endswith((f" {name}", *HELPERS)) for place in places), places


PAGES = {
    **{name: set[str]() for name in ("plain", "neighbours", "child_waited_for", "strings_beside", "no_lock")},
    **{name: WRONG[name] for name in ("closes_another", "child_works", "writes_after", "two_kinds")},
}
"""Programs that use a mapping: the neighbours store to one page, each under its own lock."""


@pytest.mark.needs("pages")
@pytest.mark.parametrize("name", PAGES)
def test_pages_that_were_written_are_seen_from_outside(
    programs: Path, other: OtherProcess, tmp_path: Path, name: str
) -> None:
    command = [str(programs / "gallery"), f"mapped:{name}"]
    findings, ends, _ = other.call(found, command, str(tmp_path / "data"), COPIES, 30.0, "pages")
    assert (causes(findings), ends) == (PAGES[name], [[0, 0]] * COPIES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from-outside", "--level", "accesses"], "--from-outside sees calls, or pages"),
        (["--kernel", "--level", "pages"], "--kernel sees locks alone"),
        (["--kernel", "--from-outside"], "two ways to watch"),
    ],
)
def test_ways_to_watch_that_do_not_go_together(options: list[str], message: str) -> None:
    done = run_lab("watch", *options, "--", "true")
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("name", ODD)
def test_a_program_runs_as_it_would_untraced(programs: Path, other: OtherProcess, tmp_path: Path, name: str) -> None:
    findings, ends, requests = other.call(found, [str(programs / "odd"), name], str(tmp_path / "data"), 1, 30.0)
    assert (findings, ends) == ([], [[*ODD[name]]])
    assert requests == [[*REQUESTS.get(name, requests[0])]]


def below(pid: int) -> dict[str, int]:
    """Return the children of a process by their names."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in children}


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("killed", "number", "code"),
    [("tracer", signal.SIGKILL, 3), ("lab", signal.SIGKILL, -signal.SIGKILL), ("lab", signal.SIGINT, 130)],
)
def test_no_program_outlives_its_tracer(programs: Path, tmp_path: Path, killed: str, number: int, code: int) -> None:
    command = [sys.executable, "-m", "lab", "watch", "--from-outside", "--", str(programs / "odd"), "endless", "data"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe) as lab:
        until(lambda: "odd" in below(lab.pid) and (tmp_path / "data").exists())
        until(lambda: int.from_bytes((tmp_path / "data").read_bytes(), "little") > 2)  # it is at work
        program = below(lab.pid)
        victim = lab.pid if killed == "lab" else next(pid for name, pid in program.items() if name != "odd")
        os.kill(victim, number)
        out, err = lab.communicate(timeout=PATIENCE_S)
    assert lab.returncode == code, (out, err)
    until(lambda: not runs(program["odd"]))
    assert (b"the tracer ended (SIGKILL), and the program with it" in err) == (killed == "tracer")


def refusal(program: str, data: str) -> str:
    """Return what is said where ptrace(2) fails, as in a container that forbids it."""
    ptrace.stop_at([{"x86_64": 101}.get(platform.machine(), 117)], {}, {})  # it has no tracer, so the call fails
    try:
        found([program, "code"], data, 2, 30.0)
    except CannotRunError as error:
        return str(error)
    return ""


def test_where_nothing_can_be_traced_it_says_so(programs: Path, tmp_path: Path) -> None:
    with OtherProcess() as process:
        said = process.call(refusal, str(programs / "odd"), str(tmp_path / "data"))
    assert said.startswith("no program can be traced here: ptrace(2): Function not implemented; a container may")
