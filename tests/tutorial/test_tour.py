"""The tour on this machine, and that each of its observations can come out otherwise."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError, LabError, UsageError
from lab.host.environment import environment
from lab.memory.calls import PAGE
from lab.tutorial.calls import Open, Program, in_pages, perform_call
from lab.tutorial.tour import choose_steps
from tests.checking.mounts import FILESYSTEMS
from tests.helpers import EXHAUSTIVE, ROOT, in_fresh_process

OF_DISKS = ["power", "page", "sync-error", "rename"]
"""The steps that make filesystems of their own, whatever the directory's is."""

NAMES = [
    "modes", "second-page", "offset", "length", "tail", "past-end", "read-only", "no-access", "failed", "pointer",
    "msync", "munmap", "exit", "close", "sharing", "race", "lock", "death", "unlock", "fork", "kill", *OF_DISKS,
]  # fmt: skip


def toured(directory: str | Path, step: str | None = None) -> list[dict[str, Any]]:
    """The steps as performed in the directory, and nothing left there, nor any child."""
    from dataclasses import asdict

    from lab.tutorial.tour import tour

    done = tour(choose_steps(step) if step != PLAIN else plain(), Path(directory))
    assert os.listdir(directory) == []  # noqa: PTH208
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    return [asdict(each) for each in done.steps]


PLAIN = "all but those of disks"


def plain() -> list[tuple[int, Any]]:
    return [(number, step) for number, step in choose_steps(None) if step.name not in OF_DISKS]


def known(directory: str | Path) -> dict[str, list[str]]:
    """What differs where the page in memory is the file, as on tmpfs: what was stored past the end is in the file."""
    filesystem = environment(Path(directory), 0.0).filesystem
    return {"tail": ["pread(fd, &c, 1, page + 5)"]} if filesystem in ("tmpfs", "ramfs") else {}


def differing(steps: list[dict[str, Any]]) -> dict[str, list[str]]:
    """By step, the calls that came out otherwise than the tutorial has it."""
    found = {step["name"]: [seen["call"] for seen in step["observations"] if not seen["ok"]] for step in steps}
    return {name: calls for name, calls in found.items() if calls}


@pytest.mark.mounts
@pytest.mark.parametrize("name", ["ext4", "overlay", "fuse_honest"])
def test_every_claim_holds_on_other_filesystems(name: str) -> None:
    assert differing(on(name)) == {}


@pytest.mark.mounts
def test_a_tmpfs_keeps_what_was_stored_past_the_end_and_differs_in_nothing_else() -> None:
    assert differing(on("tmpfs")) == {"tail": ["pread(fd, &c, 1, page + 5)"]}


def on(name: str) -> list[dict[str, Any]]:
    """The tour on a filesystem of the tests; skips where it cannot be had."""
    with ExitStack() as stack:
        (directory, *_) = stack.enter_context(FILESYSTEMS[name]())
        steps: list[dict[str, Any]] = in_fresh_process(toured, directory, PLAIN)
        return steps


@pytest.mark.mounts
def test_where_shared_mappings_are_refused_each_step_says_so_and_ends_there() -> None:
    steps = on("fuse_direct_io")
    told = {seen["observed"] for step in steps for seen in step["observations"] if not seen["ok"]}
    assert told == {"ENODEV"}
    assert sorted(differing(steps)) == sorted(set(NAMES) - {"failed", "death", "unlock", *OF_DISKS})


@pytest.mark.mounts
def test_where_there_are_no_locks_the_steps_on_locks_differ_and_no_other() -> None:
    assert set(differing(on("fuse_enosys"))) == {"lock", "death", "unlock", "fork"}


# Each step shows what it claims


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A whole tour."""
    performed: list[dict[str, Any]] = in_fresh_process(toured, tmp_path_factory.mktemp("toured"))
    return performed


def test_every_claim_holds_on_this_filesystem_in_the_tutorial_s_order(
    steps: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert [(step["number"], step["name"]) for step in steps] == list(enumerate(NAMES, 1))
    assert differing(steps) == known(tmp_path)
    assert all(len(step["observations"]) >= 4 for step in steps if not step["skipped"])
    assert {step["name"] for step in steps if step["skipped"]} <= set(OF_DISKS)
    (modes,) = [step for step in steps if step["name"] == "modes"]
    cells = {(seen["row"], seen["column"]): seen["observed"] for seen in modes["observations"] if seen["row"]}
    works = {("O_RDONLY", "PROT_READ"), *(("O_RDWR", each) for each in ("PROT_READ", "PROT_WRITE", BOTH))}
    assert len(cells) == 9
    assert cells == {cell: "works" if cell in works else "EACCES" for cell in cells}


BOTH = "PROT_READ | PROT_WRITE"


@pytest.mark.parametrize(
    ("step", "call", "came_to"),
    [
        ("offset", "mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 1)", ["EINVAL"]),
        ("tail", "c = data[page + 5]", [r"'\x00'", "'x'"]),
        ("tail", "ftruncate(fd, 2 * page)", ["works"]),
        ("tail", "fstat(fd, &st), st.st_size", ["page + 5"]),
        ("past-end", "c = data[page]", ["SIGBUS"]),
        ("read-only", "data[0] = 'x'", ["SIGSEGV"]),
        ("read-only", "Python: mmap(fd, 0, access=ACCESS_READ)[0] = 120", ["TypeError"]),
        ("no-access", "c = data[0]", ["SIGSEGV", "'a'"]),
        ("failed", "mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0)", ["(void *) -1, EINVAL"]),
        ("munmap", "c = data[0]", ["SIGSEGV"]),
        ("sharing", "B: c = data[1]", ["'a'"]),
        ("race", "A: c = data[0]", ["'0'", "'1'"]),
        ("lock", "A: c = data[0]", ["'0'", "'2'"]),
        ("lock", "B: the call that waited", ["works"]),
        ("fork", "A's child: fcntl(fd, F_SETLK, {F_WRLCK, SEEK_SET, 0, 0})", ["EAGAIN"]),
    ],
)
def test_a_step_comes_to_what_it_claims(step: str, call: str, came_to: list[str], steps: list[dict[str, Any]]) -> None:
    (performed,) = [each for each in steps if each["name"] == step]
    assert [seen["observed"] for seen in performed["observations"] if seen["call"] == call] == came_to


SAVED = {
    "power": ["exit(0)", "munmap(); close()", "msync(MS_ASYNC)", "msync(MS_SYNC), first", "fdatasync(fd)", "fsync(fd)"],
    "page": ["data[0]", "data[page / 2]", "data[page]", "data[page], one folio"],
    "sync-error": ["msync()", "msync() again", "c = data[0]", "munmap()", "pread() from the disk"],
    "rename": ["rename()", "rename() over an old file", "fsync(), rename() over it"],
}


@pytest.mark.mounts
@pytest.mark.needs("power")
def test_the_power_is_cut_on_ext4_and_xfs(steps: list[dict[str, Any]]) -> None:
    made = {step["name"]: step for step in steps if step["name"] in OF_DISKS}
    assert [step["skipped"] for step in made.values()] == [""] * len(OF_DISKS)
    cells = {name: [(seen["row"], seen["column"]) for seen in step["observations"]] for name, step in made.items()}
    assert cells == {name: [(row, fs) for fs in ("ext4", "xfs") for row in rows] for name, rows in SAVED.items()}


FAILED_SYNC = ["msync()", "pread() from the disk"]


def with_another_disk(name: str, directory: str | Path) -> dict[str, list[str]]:
    """The rows that differ where the lab does one thing otherwise."""
    from lab.host.disks import Filesystem
    from lab.memory import calls
    from lab.processes.recording_disk import Recorder
    from lab.tutorial.steps import persistence

    steps: dict[str, Any] = vars(persistence)
    match name:
        case "power":
            Filesystem.cut = lambda self: None  # type: ignore[method-assign]
        case "page":
            steps["single_pages"] = vars(calls)["madvise"] = lambda *_: None
        case "sync-error":
            Recorder.fail_next_write = lambda self: None  # type: ignore[method-assign]
        case "rename":
            write = steps["_write"]
            steps["_write"] = lambda path, content, **_: write(path, content, synced=True)
            steps["is_dirty"] = lambda *_: None
        case "kill":
            private = steps["Mmap"]
            steps["Mmap"] = lambda length, prot: private(length, prot, calls.MAP_PRIVATE)
    (step,) = toured(directory, name)
    seen = step["observations"]
    columns = sorted({each["column"] for each in seen})
    return {
        column: [each["row"] or each["call"] for each in seen if not each["ok"] and each["column"] == column]
        for column in columns
    }


@pytest.mark.mounts
@pytest.mark.needs("power")
@pytest.mark.parametrize(
    ("step", "differs"),
    [
        ("kill", {"": ["B: pread(fd, &c, 1, 0)"]}),
        ("power", {"ext4": SAVED["power"][:4], "xfs": SAVED["power"][:4]}),
        ("sync-error", {"ext4": FAILED_SYNC, "xfs": FAILED_SYNC}),
        ("rename", {"ext4": ["rename()"], "xfs": ["rename()", "rename() over an old file"]}),
    ],
)
def test_a_disk_that_keeps_what_should_be_lost_differs(
    step: str, differs: dict[str, list[str]], tmp_path: Path
) -> None:
    assert in_fresh_process(with_another_disk, step, tmp_path) == differs


def folio_hides(directory: str | Path) -> str:
    with_another_disk("page", directory)
    return str(toured(directory, "page")[0]["skipped"])


@pytest.mark.mounts
@pytest.mark.needs("power", "cachestat")
def test_a_page_that_is_saved_with_its_neighbour_is_noticed_before_the_power_fails(tmp_path: Path) -> None:
    assert "writes all pages back" in in_fresh_process(folio_hides, tmp_path)


def lacking(directory: str | Path) -> list[object]:
    from lab.report.text.tour import STRICT, text_of
    from lab.tutorial.steps import persistence
    from lab.tutorial.tour import tour

    def nothing() -> list[str]:
        raise CannotRunError("no loop device; run as root")

    vars(persistence)["available_kinds"] = nothing
    done = tour(choose_steps("power"), Path(directory))
    return [text_of(done), STRICT.text(done, None), STRICT.exit_code(done)]  # type: ignore[arg-type]


def test_a_step_that_the_machine_cannot_do_is_skipped_with_the_reason(tmp_path: Path) -> None:
    text, summary, code = in_fresh_process(lacking, tmp_path)
    assert "    skipped: no loop device; run as root" in text.splitlines()
    assert text.endswith("0 steps, 0 observations. Skipped: power.")
    assert (summary, code) == ("skipped  22  power  no loop device; run as root", 0)


# Controls: what is observed comes from the system


def with_pages_of(size: int, directory: str | Path) -> list[dict[str, Any]]:
    """The tour where sysconf(3) is made to tell another page size than the kernel has."""
    real = os.sysconf
    os.sysconf = lambda name: size if name == "SC_PAGE_SIZE" else real(name)
    from importlib import reload

    from lab.memory import calls

    reload(calls)
    return toured_anew(directory)


def toured_anew(directory: str | Path) -> list[dict[str, Any]]:
    """With modules that have not yet looked at the page size."""
    import sys

    for name in [name for name in sys.modules if name.startswith("lab.tutorial")]:
        del sys.modules[name]
    from dataclasses import asdict

    from lab.tutorial.tour import choose_steps as anew
    from lab.tutorial.tour import tour

    steps = [(number, step) for number, step in anew(None) if step.name not in OF_DISKS]
    return [asdict(each) for each in tour(steps, Path(directory)).steps]


def test_a_wrong_page_size_shows_in_the_steps_about_pages_and_in_no_other(tmp_path: Path) -> None:
    found = differing(in_fresh_process(with_pages_of, 16 * PAGE, tmp_path))
    assert found.keys() == {"offset", "length", "tail"}
    assert found["offset"] == ["mmap(NULL, page, PROT_READ, MAP_SHARED, fd, page / 2)"]
    assert found["tail"] == ["c = data[2 * page - 1]"]


def test_a_page_size_that_is_none_ends_in_differences_and_not_in_a_crash(tmp_path: Path) -> None:
    assert {"second-page", "offset"} <= differing(in_fresh_process(with_pages_of, 1000, tmp_path)).keys()
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def with_locks_that_never_lock(directory: str | Path, step: str) -> list[dict[str, Any]]:
    from lab.tutorial import calls

    vars(calls)["call_range"] = lambda *_: b""
    return toured(directory, step)


@pytest.mark.parametrize("step", ["lock", "death", "unlock", "fork"])
def test_a_lock_that_never_locks_is_noticed(tmp_path: Path, step: str) -> None:
    assert step in differing(in_fresh_process(with_locks_that_never_lock, tmp_path, step))


def with_a_lock_that_nobody_gets(directory: str | Path) -> list[dict[str, Any]]:
    """A waiter who is not woken: his call is given up after a while."""
    from lab.tutorial import calls, process

    real = vars(calls)["call_range"]

    def call_range(descriptor: int, command: str, kind: int, *rest: int) -> bytes:
        return b"" if kind == 2 else real(descriptor, command, kind, *rest)

    vars(calls)["call_range"] = call_range
    vars(process)["ANSWER_S"] = 0.3
    return toured(directory, "lock")


def test_a_waiter_who_is_not_woken_is_told_and_does_not_hang_the_tour(tmp_path: Path) -> None:
    (step,) = in_fresh_process(with_a_lock_that_nobody_gets, tmp_path)
    told = {seen["call"]: seen["observed"] for seen in step["observations"] if not seen["ok"]}
    assert told["B: the call that waited"] == "no answer within 0.3 s"


def without_listed_waiters(directory: str | Path) -> list[dict[str, Any]]:
    """As on filesystems whose server keeps the locks."""
    from lab.processes import actor

    vars(actor).update(IN_THE_LOCK_CODE=(), listed_locks=lambda _: [])
    return toured(directory, "lock")


def test_a_waiter_whom_the_kernel_does_not_list_is_seen_to_wait_all_the_same(tmp_path: Path) -> None:
    assert differing(in_fresh_process(without_listed_waiters, tmp_path)) == {}


def imported_at_the_first_fork(directory: str | Path) -> list[str]:
    import sys

    from lab.processes import rpc

    seen: list[str] = []

    def fork(body: object, group: int | None) -> int:
        seen.extend(sys.modules)
        raise KeyboardInterrupt

    vars(rpc)["fork_held"] = fork
    with suppress(KeyboardInterrupt):
        toured(directory)
    return seen


def test_a_tour_forks_before_it_imports_what_starts_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_TESTS", "a Python of its own: the warm one has imported the libraries")
    modules = in_fresh_process(imported_at_the_first_fork, tmp_path)
    assert "lab.tutorial.tour" in modules
    assert {"psutil", "tabulate", "msgspec", "rich"} & set(modules) == set()


# Choosing, stopping, and what is left


@pytest.mark.parametrize("asked", ["17", "lock"])
def test_a_step_is_chosen_by_number_or_name(asked: str) -> None:
    assert [(number, step.name) for number, step in choose_steps(asked)] == [(17, "lock")]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("lokc", "unknown step 'lokc'; did you mean lock?"),
        ("26", "step 26: there are steps 1 to 25"),
        ("0", "step 0: there are"),
        ("-1", "step -1: there are"),
        ("", "unknown step ''; known: modes, second-page"),
    ],
)
def test_an_unknown_step_is_told_with_the_nearest_or_the_range(asked: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose_steps(asked)
    assert str(refused.value).startswith(told)


def interrupted(directory: str | Path) -> list[object]:
    """Ctrl-C while a process of a step waits for a lock: who is left, and what."""
    from lab.tutorial import tour as module
    from lab.tutorial.process import Stage, Step
    from lab.tutorial.steps.processes import TRY, WAIT, _two

    pids = []

    def waits(stage: Stage) -> Iterator[Any]:
        a, b = _two(stage)
        pids.extend([a.pid, b.pid])
        yield a.does(TRY)
        yield b.begins(WAIT)
        os.kill(os.getpid(), signal.SIGINT)
        yield b.goes_on()

    try:
        module.tour([(1, Step("stopped", "", waits))], Path(directory))
    except KeyboardInterrupt:
        return [len(pids), [pid for pid in pids if Path(f"/proc/{pid}").exists()], os.listdir(directory)]  # noqa: PTH208
    return ["went on"]


def test_an_interrupted_tour_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    assert in_fresh_process(interrupted, tmp_path) == [2, [], []]


def refused(directory: str | Path) -> list[object]:
    from lab.tutorial.tour import tour

    try:
        tour(choose_steps(None), Path(directory))
    except LabError as error:
        return [error.exit_code, str(error)]
    return ["toured"]


def without_descriptors(directory: str | Path, spare: int) -> str:
    """What a tour comes to where so many descriptors are left."""
    toured(directory, PLAIN)  # what it imports is there then
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1 + spare, hard))  # noqa: PTH208
    try:
        found = differing(toured(directory, PLAIN))
    except CannotRunError as error:
        return str(error)
    return f"differs in {found}" if found != known(directory) else "as it is"


def test_a_limit_on_descriptors_is_told_as_that_and_not_as_differences(tmp_path: Path) -> None:
    told = []
    for spare in range(1, 10) if EXHAUSTIVE else (1, 2, 4, 9):
        told.append(in_fresh_process(without_descriptors, tmp_path, spare))
        assert os.listdir(tmp_path) == [], f"{spare} descriptors to spare"  # noqa: PTH208
    assert told[-1] == "as it is"
    assert {line.partition("; ")[2] for line in told if line != "as it is"} <= {
        "raise the limit (ulimit -n)",
        "raise the limits (ulimit -u, -n)",
    }
    assert told[0] != "as it is"


def opened_by(directory: str | Path) -> int:
    """How many descriptors a program has that opened its file again and again."""
    path = Path(directory) / "foo"
    path.touch()
    program = Program(str(path))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(9):
        perform_call(Open(os.O_RDONLY), program)
    return len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208


def test_a_program_that_opens_its_file_anew_lets_go_of_the_one_that_it_had(tmp_path: Path) -> None:
    assert in_fresh_process(opened_by, tmp_path) == 1


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    code, told = in_fresh_process(refused, tmp_path / "missing")
    assert (code, "does not exist" in told) == (2, True)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"),
        (1, "1"),
        (PAGE, "page"),
        (PAGE - 1, "page - 1"),
        (PAGE + 5, "page + 5"),
        (PAGE // 2, "page / 2"),
        (2 * PAGE, "2 * page"),
        (2 * PAGE - 1, "2 * page - 1"),
        (1000 * PAGE, "1000 * page"),
    ],
)
def test_numbers_are_written_in_pages(number: int, written: str) -> None:
    assert in_pages(number) == written


def test_no_file_of_the_tutorial_assumes_a_page_size() -> None:
    files = [*(ROOT / "lab" / "tutorial").rglob("*.py"), ROOT / "lab" / "memory" / "calls.py"]
    assert [path.name for path in files if "4096" in path.read_text() or "4_096" in path.read_text()] == []
