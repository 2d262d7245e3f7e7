"""`race --backing`: how the bytes are shared, as an axis of the run."""

from __future__ import annotations

import csv
import json
import signal
import sys
from pathlib import Path

import pytest

from lab.memory import BACKINGS
from tests.cli.commands import QUICK, document, ended, lines, refusal, scenario_file, unfolded, working_lab
from tests.helpers import PATIENCE_S, is_running, race, run_lab, wait_until
from tests.needs import private_mounts

WINDOW = ("--window", "20000000", "--rounds", "5", "--workers", "2", "--trials", "1")
"""Each store is so late that the other worker has loaded before it, and that several times."""

SHARING = [name for name, backing in BACKINGS.items() if backing.shares]
SHM = Path("/dev/shm")  # noqa: S108


def rows(printed: str) -> list[dict[str, str]]:
    """The first table of a run in csv."""
    return list(csv.DictReader(printed.split("\n\n")[0].splitlines()))


def segments_of(pid: int) -> list[dict[str, str]]:
    """The System V segments that a process made (proc(5), /proc/sysvipc/shm)."""
    head, *told = [line.split() for line in Path("/proc/sysvipc/shm").read_text().splitlines()]
    made = [dict(zip(head, line, strict=False)) for line in told]
    return [each for each in made if each["cpid"] == str(pid)]


def shm_of(pid: int) -> list[str]:
    """What a process made in /dev/shm and did not unlink."""
    return [path.name for path in SHM.iterdir() if path.name.startswith(f"lab-{pid}-")]


@pytest.mark.parametrize("backing", SHARING)
def test_an_unlocked_counter_breaks_and_a_locked_one_does_not(backing: str, elsewhere: Path) -> None:
    code, made = race("counter", "--backing", backing, *WINDOW, "--dir", elsewhere)
    told = [(case["lock"], case["backing"], case["shares"], case["verdict"]) for case in made["cases"]]
    assert told == [("none", backing, True, "damaged"), ("fcntl", backing, True, "clean")]
    assert [case["reason"] for case in made["cases"]] == ["nothing kept the workers apart", ""]
    assert (code, list(elsewhere.iterdir())) == (0, [])


def test_a_private_counter_breaks_under_every_lock_as_expected() -> None:
    locks = ["none", "fcntl", "ofd", "flock"]
    code, made = race("counter", "--backing", "private", *QUICK, *(f"--lock={lock}" for lock in locks))
    assert [(case["lock"], case["verdict"], case["expected"]) for case in made["cases"]] == [
        (lock, "damaged", "damaged") for lock in locks
    ]
    assert {case["reason"] for case in made["cases"]} == {
        "in backing private the stores stay in each worker's own copy, whatever the lock"
    }
    assert (code, {case["shares"] for case in made["cases"]}) == (0, {False})


def test_private_stores_are_told_in_words_and_no_model_explains_them() -> None:
    done = run_lab("race", "counter", "--locked", "--backing", "private", *QUICK, "--explain")
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(unfolded(done.stdout))[-1] == (
        "private: the stores stay in each worker's own copy and reach nobody, so no lock can help: broke 1 of 1 case."
    )


def test_a_backing_without_a_file_is_explained_as_the_file_is() -> None:
    _, made = race("counter", "--unlocked", "--backing", "sysv", *WINDOW, "--explain")
    assert made["cases"][0]["explanation"]["verdict"] == "broken"


def test_the_backings_asked_for_make_the_rows_before_the_locks() -> None:
    asked = ("--backing", "sysv", "--backing", "mapped", "--backing", "sysv", "--workers", "1,2")
    done = run_lab("race", "counter", "bank", *asked, "--rounds", "20", "--trials", "1", "--format", "csv")
    order = [(row["scenario"], row["workers"], row["backing"], row["lock"]) for row in rows(done.stdout)]
    assert order == [
        (scenario, workers, backing, lock)
        for scenario in ("counter", "bank")
        for workers in "12"
        for backing in ("sysv", "mapped")
        for lock in ("none", "fcntl")
    ]


def test_without_a_backing_each_scenario_has_its_own_and_the_usual_one_is_not_told() -> None:
    done = run_lab("race", "counter", *QUICK)
    assert "backing" not in done.stdout
    _, made = race("counter", "private_mapping", *QUICK)
    assert made["options"]["backings"] == []
    assert {case["scenario"]: case["backing"] for case in made["cases"]} == {
        "counter": "mapped", "private_mapping": "private", "private_mapping:fixed": "mapped",
    }  # fmt: skip


def test_a_document_of_before_is_read_and_printed_as_it_was(elsewhere: Path) -> None:
    """Its options have no backings, and its cases do not say whether the workers share."""
    made = document(run_lab("race", "counter", *QUICK, "--json", "-").stdout)
    (elsewhere / "new.json").write_text(json.dumps(made))
    del made["options"]["backings"]
    for case in made["cases"]:
        del case["shares"]
    (elsewhere / "old.json").write_text(json.dumps(made))
    assert run_lab("report", elsewhere / "old.json").stdout == run_lab("report", elsewhere / "new.json").stdout


@pytest.mark.needs("private_mounts")
def test_a_full_dev_shm_ends_the_case_in_one_line_and_the_others_go_on(elsewhere: Path) -> None:
    mine = scenario_file(
        elsewhere / "mine.py", attributes="class Memory(Structure):\n    _fields_ = [('big', c_uint64 * (1 << 15))]"
    )
    script = f'mount -t tmpfs -o size=64k tmpfs {SHM} && exec "$@"'
    asked = ("--backing", "posix", "--backing", "anonymous", *QUICK, "--format", "csv", "--no-save")
    done = ended([*private_mounts(), "sh", "-c", script, "sh", sys.executable, "-m", "lab", "race", mine, *asked])
    assert done.returncode == 3
    assert done.stderr == (
        "lab: backing posix: refused for 262,144 bytes (No space left on device); "
        "free some of /dev/shm or mount more, or ask for less: fewer rounds or workers, smaller sizes "
        "(1 case not run)\n"
    )
    assert [(row["backing"], row["verdict"]) for row in rows(done.stdout)] == [
        ("posix", "unsupported"), ("anonymous", "clean"),
    ]  # fmt: skip


NAMES = '''
from ctypes import *
from lab import Damage, Scenario

class Tag(c_uint16):
    pass

class Names(Scenario):
    """Two workers copy a name, an array, a struct and a bit field."""

    class Memory(Structure):
        _fields_ = [("names", (c_char * 16) * 2), ("numbers", c_uint32 * 4), ("tag", Tag), ("low", c_uint8, 3)]

    def work(self, w):
        with w.write_lock():
            w.memory.names[1].value = w.memory.names[0].value + b"x"
            w.memory.names[0] = w.memory.names[1]
            w.memory.numbers[1:3] = w.memory.numbers[0:2]
            w.memory.numbers[0] = w.memory.tag.value = w.memory.low = len(w.memory.names[0].value)

    def check(self, memory, outcome):
        left = memory.names[1].value, memory.tag.value, memory.low
        return Damage("lost", int(left != (b"x" * outcome.rounds, outcome.rounds, outcome.rounds)), 1)
'''


def test_a_layout_of_all_kinds_runs_under_every_backing_window_and_recording_and_is_explored(tmp_path: Path) -> None:
    mine = tmp_path / "names.py"
    mine.write_text(NAMES)
    how = [f"--backing={name}" for name in SHARING]
    for extra in ((), ("--window", "1"), ("--record", "4")):
        code, made = race(mine, *how, "--lock", "fcntl", "--workers", "2", "--rounds", "2", "--trials", "1", *extra)
        assert (code, {case["verdict"] for case in made["cases"]}) == (0, {"clean"}), extra
    explored = run_lab("explore", mine, "--workers", "2", "--rounds", "2", "--lock", "fcntl")
    assert (explored.returncode, "holds" in explored.stdout) == (0, True), explored.stdout + explored.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("backing", ["sysv", "posix", "anonymous"])
def test_the_memory_of_a_race_has_no_name_while_it_races_and_is_gone_once_it_is_stopped(
    backing: str, stop: signal.Signals, elsewhere: Path
) -> None:
    work = """
    w.memory.value = 1
    (HERE / f"pid-{w.index}").write_text(str(os.getpid()))
    (HERE / f"pid-{w.index}").rename(HERE / f"at-work-{w.index}")
    time.sleep(600)
    """
    there = elsewhere / "there"
    there.mkdir()
    how = ("--backing", backing, "--workers", "2", "--trials", "1", "--time-limit", "600", "--no-save", "--dir", there)

    def at_work() -> list[int]:
        return [int(path.read_text()) for path in elsewhere.glob("at-work-*")]

    mine = scenario_file(elsewhere / "mine.py", work)
    with working_lab("race", mine, *how, until=lambda: len(at_work()) == 2, pids=at_work) as lab:
        workers = at_work()
        kinds = {
            "sysv": "/SYSV00000000 (deleted)", "posix": f"{SHM}/lab-{lab.pid}-", "anonymous": "/dev/zero (deleted)",
        }  # fmt: skip
        maps = [Path(f"/proc/{pid}/maps").read_text() for pid in (lab.pid, *workers)]
        assert [kinds[backing] in each for each in maps] == [True, True, True]
        segments = [(each["nattch"], int(each["perms"], 8) & 0o1000) for each in segments_of(lab.pid)]
        assert segments == ([("5", 0o1000)] if backing == "sysv" else [])
        assert shm_of(lab.pid) == []
        lab.send_signal(stop)
        lab.communicate(timeout=PATIENCE_S)
        if stop == signal.SIGKILL:
            wait_until(lambda: not any(is_running(pid) for pid in workers), "the workers are gone with their parent")
            wait_until(lambda: not segments_of(lab.pid), "the segment is gone with the last who had it")
            assert shm_of(lab.pid) == []
        else:
            assert (lab.returncode, [pid for pid in workers if is_running(pid)]) == (130, [])
            assert (segments_of(lab.pid), shm_of(lab.pid), list(there.iterdir())) == ([], [], [])


NO_FILE = [name for name, backing in BACKINGS.items() if not backing.of_file]


@pytest.mark.parametrize(
    ("scenario", "backing", "said"),
    [
        ("counter", "sys", "lab: unknown backing 'sys'; did you mean sysv?"),
        ("mine.py", "", "unknown backing 'maped'; did you mean mapped?"),
        *(
            (
                "replaced_file", name,
                f"lab: scenario replaced_file: saves its file by name, and the bytes of backing {name} are no file; "
                "choose another --backing (mapped, private, stream, remapped, remapped_stream), or name other",
            )
            for name in NO_FILE
        ),
    ],
)  # fmt: skip
def test_a_backing_that_is_unknown_or_does_not_fit_is_refused(
    scenario: str, backing: str, said: str, elsewhere: Path
) -> None:
    scenario_file(elsewhere / "mine.py", attributes='backing = "maped"')
    assert said in refusal(2, "race", scenario, *([f"--backing={backing}"] if backing else []), *QUICK)
