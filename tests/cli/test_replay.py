"""A token, performed by real processes: reproduced every time, or told why not."""

from __future__ import annotations

import fcntl
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from lab.exploring.token import Turn, read
from lab.locking import RECORDER
from tests.cli.commands import document, lines, on_tmpfs, refusal, scenario_file, working_lab
from tests.cli.test_race import DEFAULT_SET
from tests.helpers import PATIENCE_S, OtherProcess, is_running, run_lab, wait_until

COUNTEREXAMPLES = [
    (name, lock) for name in ("short_range", "check_then_lock", "opposite_order") for lock in ("fcntl", "ofd")
]
FAILURES = [(name, "none") for name in DEFAULT_SET] + COUNTEREXAMPLES
MEMORY = Path("/dev/shm")  # noqa: S108 - the tmpfs of every Linux, by this name
AT_ONCE = ("--times", "5")

mounts = pytest.mark.needs("private_mounts")

Tokens = dict[tuple[str, str], str]


def explored(*args: str | Path) -> Tokens:
    """The tokens of the failures that an exploration found, by scenario and lock."""
    cases = document(run_lab("explore", *args, "--json", "-").stdout)["cases"]
    return {(case["scenario"], case["lock"]): case["token"] for case in cases if case["token"]}


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    """The token of each failure of the default set and the counterexamples."""
    counterexamples = dict.fromkeys(name for name, _ in COUNTEREXAMPLES)
    return explored() | explored(*counterexamples, "--lock", "fcntl", "--lock", "ofd")


@pytest.fixture(scope="module")
def counter(tokens: Tokens) -> str:
    return tokens["counter", "none"]


def token_of(mine: Path) -> str:
    """The token of the one failure of a user's scenario."""
    (token,) = explored(mine).values()
    return token


def replayed(*args: str | Path) -> tuple[int, dict[str, Any]]:
    """A replay: its exit code and its document."""
    done = run_lab("replay", *args, "--json", "-")
    assert done.stdout, done.stderr
    return done.returncode, document(done.stdout)


# Reproduced


@pytest.mark.parametrize("filesystem", ["", "tmpfs"])
@pytest.mark.parametrize(("name", "lock"), FAILURES)
def test_each_shortest_failure_is_reproduced_100_of_100(
    name: str, lock: str, filesystem: str, tokens: Tokens, elsewhere: Path
) -> None:
    if filesystem and not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)):
        pytest.skip(f"{MEMORY}: no tmpfs to write to")
    done = run_lab("replay", tokens[name, lock], "--dir", MEMORY if filesystem else elsewhere)
    assert "reproduced 100 of 100" in lines(done.stdout)
    assert lines(done.stdout)[0].partition("real processes on ")[2].startswith(filesystem)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(elsewhere.iterdir()) == []


def test_the_document_says_what_was_asked_and_what_is_left_in_the_real_file(counter: str, elsewhere: Path) -> None:
    _, made = replayed(counter, *AT_ONCE, "--dir", elsewhere)
    assert made["options"] == {
        "token": counter,
        "times": 5,
        "directory": str(elsewhere),
        "time_limit_s": 5.0,
        "real": [],
    }
    what = ("command", "scenario", "lock", "workers", "rounds", "times", "reproduced", "divergence", "interrupted")
    assert [made[name] for name in what] == ["replay", "counter", "none", 2, 1, 5, 5, "", False]
    assert made["environment"]["recorder"] == RECORDER
    assert [(damage["kind"], damage["evidence"]) for damage in made["damage"]] == [
        ("lost update", ["value is 1 after 2 additions"])
    ]
    assert [step["operation"] for step in made["steps"]] == ["load", "load", "store", "store"]
    assert run_lab("replay", counter, *AT_ONCE, "--quiet").stdout == ""


def test_the_text_says_what_was_performed_and_what_it_proves(counter: str) -> None:
    done = run_lab("replay", counter, *AT_ONCE)
    assert lines(done.stdout)[0].startswith("counter under none, 2 workers x 1 round, real processes on ")
    assert "value is 1 after 2 additions" in done.stdout
    assert "how likely it is, only a race tells" in " ".join(done.stdout.split())
    rows = [line for line in lines(done.stdout) if re.match(r" +\d+ ", line)]
    assert len(rows) == 4


def test_stores_that_were_cut_by_hand_are_labelled() -> None:
    token = explored("torn_record", "--lock", "none", "--rounds", "1", "--tear", "8")["torn_record", "none"]
    done = run_lab("replay", token, *AT_ONCE)
    assert "reproduced 5 of 5" in lines(done.stdout)
    assert "Copies were cut into moves of at most 8 bytes by hand" in done.stdout


def test_a_scenario_of_ones_own_is_found_again_by_its_path(elsewhere: Path) -> None:
    mine = scenario_file(elsewhere / "mine.py", "w.memory.value += 1", check="return Damage('odd', 1, 2)")
    code, made = replayed(token_of(mine), *AT_ONCE)
    assert (code, made["scenario"], made["reproduced"]) == (0, str(mine.relative_to(elsewhere)), 5)


ADDS_TWO = "with w.write_lock(self.Memory.value):\n    w.memory.value += 2"
TWICE = "return Damage('lost update', 2 * outcome.rounds - memory.value, outcome.rounds)"


def test_a_scenario_of_ones_own_with_the_name_of_a_built_in_is_the_one_that_is_replayed(elsewhere: Path) -> None:
    mine = scenario_file(elsewhere / "counter.py", ADDS_TWO, check=TWICE)
    (token,) = explored(mine, "--lock", "none").values()
    _, made = replayed(token, *AT_ONCE)
    assert [step["value"] for step in made["steps"]] == [0, 0, 2, 2]


def test_two_scenarios_of_one_name_keep_their_own_tokens(elsewhere: Path) -> None:
    for name, work in (("one", "w.memory.value += 1"), ("two", "w.memory.value += 2")):
        (elsewhere / name).mkdir()
        scenario_file(elsewhere / name / "mine.py", work, check="return Damage('odd', 1, 2)")
    cases = document(run_lab("explore", "one/mine.py", "two/mine.py", "--json", "-").stdout)["cases"]
    assert [case["token"].split(",")[1] for case in cases] == ["one/mine.py", "two/mine.py"]


# Tokens that do not fit


@pytest.mark.parametrize("length", [-1, -5, 20, 40])
def test_a_token_that_was_cut_short_is_told_as_that(length: int, counter: str) -> None:
    assert "the token was cut short or mistyped" in refusal(2, "replay", counter[:length])


@pytest.mark.parametrize("place", [3, 12, 16, 20, 24, 30, 40, -8, -1])
def test_a_token_with_one_other_character_is_told_as_that(place: int, counter: str) -> None:
    other = "7" if counter[place] != "7" else "8"
    typed = counter[:place] + other + counter[place:][1:]
    assert "the token was cut short or mistyped" in refusal(2, "replay", typed)


def test_cutting_the_power_where_none_fails_is_refused(counter: str) -> None:
    assert "no power fails in this token" in refusal(2, "replay", counter, "--real")
    assert "the token comes first" in refusal(2, "replay", "--real", counter)


def test_a_scenario_that_has_changed_or_is_gone_is_told(elsewhere: Path) -> None:
    mine = scenario_file(elsewhere / "mine.py", "w.memory.value += 1", check="return Damage('odd', 1, 2)")
    token = token_of(mine)
    mine.write_text(mine.read_text() + "\n# a remark\n\n")
    assert run_lab("replay", token, *AT_ONCE).returncode == 0
    mine.write_text(mine.read_text().replace("+= 1", "+= 2"))
    assert "scenario mine.py has changed since the token was made" in refusal(2, "replay", token)
    mine.unlink()
    assert "no such scenario file" in refusal(2, "replay", token)


@pytest.mark.parametrize(
    ("token", "code", "told"),
    [
        ("L3,whatever", 2, "the token is of version L3, this lab reads L1 and L2"),
        ("hello", 2, "'hello' is no token"),
        ("", 2, "'' is no token"),
        ("L1", 2, "the token was cut short or mistyped"),
        ({"scenario": "bank"}, 2, "scenario bank has changed since the token was made; make a new one"),
        ({"scenario": "counters"}, 2, "unknown scenario 'counters'"),
        ({"lock": "fcntrl"}, 3, "fcntrl"),
        ({"turns": (Turn(0, 9, "5b2"),)}, 2, "the token does not fit scenario counter: worker 0 cannot do step 3"),
        ({"turns": (Turn(5, 1, "5b2"),)}, 2, "the token does not fit scenario counter: worker 5 cannot do step 1"),
        ({"turns": (Turn(0, 1, "000"), Turn(1, 2, "000"), Turn(0, 1, "000"))}, 2, "other operations"),
    ],
)
def test_what_is_no_token_or_does_not_fit_is_told_as_that(
    token: str | dict[str, Any], code: int, told: str, counter: str
) -> None:
    asked = token if isinstance(token, str) else str(replace(read(counter), **token))
    assert told in refusal(code, "replay", asked)


def test_a_schedule_that_is_granted_what_others_hold_is_told(tokens: Tokens) -> None:
    held = replace(read(tokens["opposite_order", "ofd"]), turns=(Turn(0, 2, "000"), Turn(1, 1, "000")))
    assert "worker 1 cannot do step 3" in refusal(2, "replay", str(held))


# Places


@mounts
def test_a_read_only_directory_is_named(counter: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    done, _ = on_tmpfs(place, "ro", "replay", counter, "--dir", place)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"lab: --dir {place}: cannot be written (Read-only file system); give another\n"


@mounts
def test_a_full_directory_is_named(tokens: Tokens, tmp_path: Path) -> None:
    place = tmp_path / "place"
    done, left = on_tmpfs(place, "size=4k,nr_inodes=2", "replay", tokens["counter", "none"], "--dir", place)
    assert (done.returncode, done.stdout, left) == (3, "", [])
    assert re.fullmatch(rf"lab: .*{place}.*\n", done.stderr)


# Divergence


@contextmanager
def replaying(token: str, folder: Path) -> Iterator[tuple[Popen[str], Path]]:
    """A replay of this token that goes on for ever, and its file; both workers are there."""
    workers: list[int] = []
    how = ("--times", "1000000000", "--dir", folder, "--time-limit", "1")

    def file() -> list[Path]:
        return list(folder.glob("lab-*/replayed"))

    with working_lab("replay", token, *how, until=file, pids=lambda: workers) as lab:
        wait_until(lambda: len(children(lab.pid)) == 2 or lab.poll() is not None, "both workers are there")
        workers.extend(children(lab.pid))
        yield lab, file()[0]


HELD: list[int] = []


def hold(path: str) -> None:
    """Take an exclusive POSIX lock on the whole file, in competition with whoever uses it."""
    HELD.append(os.open(path, os.O_RDWR))
    fcntl.lockf(HELD[-1], fcntl.LOCK_EX)


def scribble(path: str) -> None:
    """Store other bytes into the file until it is gone."""
    descriptor = os.open(path, os.O_RDWR)
    while os.fstat(descriptor).st_nlink:
        os.pwrite(descriptor, b"\x63", 0)


def file_in(folder: Path, lab: Popen[str]) -> Path:
    """The file that a replay works on, once its workers do."""
    wait_until(lambda: list(folder.glob("lab-*/replayed")) or lab.poll() is not None, "the file is there")
    (path,) = folder.glob("lab-*/replayed")
    wait_until(lambda: len(children(lab.pid)) == 2 or lab.poll() is not None, "both workers are there")
    return path


def children(parent: int) -> list[int]:
    """The running children of a process (proc(5), the fourth field of stat)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, of = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == parent and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def ended(lab: Popen[str]) -> tuple[int, str, str]:
    """How a replay ends, with both outputs."""
    printed, told = lab.communicate(timeout=PATIENCE_S)
    return lab.returncode, printed, told


def test_a_lock_that_the_kernel_does_not_grant_is_a_divergence(tokens: Tokens, elsewhere: Path) -> None:
    with replaying(tokens["short_range", "fcntl"], elsewhere) as (lab, path), OtherProcess() as other:
        other.call(hold, str(path))
        code, printed, told = ended(lab)
    assert code == 1
    assert re.search(
        r"lab: not reproduced: at step (1 worker 0|5 worker 1) did not return from lock \d+ within 1 s", told
    )
    assert "the model grants it, the kernel lets it wait" in told
    assert "the model and the kernel part: at step" in printed
    (performed,) = re.findall(r"reproduced (\d+) of (\d+)", printed)
    assert int(performed[0]) == int(performed[1]) - 1


def test_bytes_that_others_change_are_a_divergence(counter: str, elsewhere: Path) -> None:
    with replaying(counter, elsewhere) as (lab, path), OtherProcess() as other:
        other.start(scribble, str(path))
        code, printed, told = ended(lab)
        other.answer()
    assert code == 1
    assert re.search(
        r"lab: not reproduced: at step [12] worker [01] loads 63( 00){7} from the file, the model has 00( 00){7}\n",
        told,
    )
    assert "the model and the kernel part: at step" in printed


HERE = "\n\nHERE_ONLY = os.getpid()\n"
"""The scenario's file is loaded before the workers are forked, so this tells the explorer from a worker."""

ODD = "return Damage('odd', 1, 2)"


IN_A_WORKER = "w.memory.value = 1\nif os.getpid() != HERE_ONLY:\n    {}\nw.memory.value = 2"
OTHERWISE = {
    "other step": (
        "if os.getpid() != HERE_ONLY:\n    w.memory.cells[0] = 1\nw.memory.value = 1", 1,
        "at step 1 worker 0 is about to store 8-15 where the model had store 0",
    ),
    "fewer steps": (
        "w.memory.value = 1\nif os.getpid() == HERE_ONLY:\n    w.memory.value = 2", 1,
        "worker 0 ended after 1 of its 2 steps",
    ),
    "more steps": (
        "w.memory.value = 1\nif os.getpid() != HERE_ONLY:\n    w.memory.value = 2", 1,
        "worker [01] goes on with store 0-7 where the model had it end",
    ),
    "other bytes": (
        "w.memory.value = os.getpid()", 1, "^lab: 5 of 5 ended with other bytes or reports than the model has\n$",
    ),
    "other reports": (
        "w.memory.value = 1\nif os.getpid() != HERE_ONLY:\n    w.damaged('met')", 1, "5 of 5 ended with other bytes",
    ),
    "exits": (IN_A_WORKER.format("os._exit(7)"), 4, "worker 0 .*(exit|died|killed)"),
    "killed": (IN_A_WORKER.format("os.kill(os.getpid(), 9)"), 4, "worker 0 .*(exit|died|killed)"),
    "raises": (IN_A_WORKER.format("sys.exit(7)"), 1, "SystemExit: 7"),
}  # fmt: skip


@pytest.mark.parametrize("which", OTHERWISE)
def test_a_worker_that_does_otherwise_than_in_the_explorer_is_a_divergence(which: str, elsewhere: Path) -> None:
    work, code, told = OTHERWISE[which]
    mine = scenario_file(elsewhere / "mine.py", work, check=ODD, syntax=HERE)
    (token,) = explored(mine, "--rounds", "1").values()
    done = run_lab("replay", token, *AT_ONCE, "--time-limit", "1")
    assert done.returncode == code
    assert re.search(told, done.stderr)
    assert ("reproduced 0 of " in done.stdout) or code == 4


# Stops


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("failure", [("counter", "none"), ("opposite_order", "ofd")])
def test_a_replay_that_is_stopped_leaves_no_worker_and_tells_how_far_it_came(
    failure: tuple[str, str], stop: signal.Signals, tokens: Tokens, elsewhere: Path
) -> None:
    """The performance that was interrupted does not count as tried."""
    with replaying(tokens[failure], elsewhere) as (lab, _):
        workers = children(lab.pid)
        lab.send_signal(stop)
        code, printed, told = ended(lab)
        wait_until(lambda: not any(map(is_running, workers)), "the workers are gone with their parent")
    if stop != signal.SIGKILL:
        counts = re.fullmatch(r"lab: interrupted; reproduced (\d+) of (\d+) by then", told.splitlines()[-1])
        assert counts
        assert (code, counts[1]) == (130, counts[2])
        assert "This order of steps" in printed
        assert list(elsewhere.iterdir()) == []
