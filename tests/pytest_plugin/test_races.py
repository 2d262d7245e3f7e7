"""Races as tests: what passes, what fails and how, what is skipped."""

from __future__ import annotations

import json
import shlex
from xml.etree import ElementTree as Xml

import pytest

from tests.helpers import run_lab
from tests.pytest_plugin.writing import outcomes_of, run_tests

pytest_plugins = ["pytester"]


def test_the_tests_of_the_issue_pass_as_they_stand(pytester: pytest.Pytester) -> None:
    tests = """
from lab.locks import adapt
from lab.locks.kernel import Fcntl

class MyScenario(Mine):
    pass

my_lock = Fcntl()

def test_my_lock_protects_the_file(lab):
    lab.race(MyScenario(), lock=my_lock, workers=8).assert_clean(detects=1e-3)

def test_no_interleaving_breaks_it(lab):
    lab.explore(MyScenario(), lock="fcntl", workers=2, rounds=2).assert_exhausted()
"""
    outcomes_of(run_tests(pytester, tests), passed=2)


def test_damage_fails_with_the_table_the_evidence_the_interleaving_and_the_lines_to_paste(
    pytester: pytest.Pytester,
) -> None:
    tests = "def test_it(lab):\n    lab.race(Careless, trials=3, rounds=2000).assert_clean()"
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*lab.race(Careless, trials=3, rounds=2000).assert_clean()",
            "E*AssertionError: test_mine:careless under fcntl, 4 workers: damaged: the lock held and the data broke *",
            "E*lost update: value is *",
            "E*scenario*verdict",
            "E*test_mine:careless*DAMAGED: lost update",
            "E*why test_mine:careless under fcntl broke, the shortest interleaving:",
            "E*switch >*",
            "E*replay: python -m lab replay L1,test_mine.py:careless,fcntl,*",
            "E*again: python -m lab race test_mine.py:careless --lock fcntl --workers 4 --rounds 2000 --trials 3 *",
        ]
    )
    result.stdout.no_fnmatch_line("*lab/pytest_plugin/*")
    replayed, raced = (shlex.split(line.split(": ", 1)[1])[3:] for line in lines_to_paste(result))
    assert run_lab(*replayed, cwd=pytester.path).returncode == 0
    assert run_lab(*raced, "--quiet", cwd=pytester.path).returncode == 1


def lines_to_paste(result: pytest.RunResult) -> list[str]:
    """Of the failure itself: with CI in the environment, pytest's summary says every message once more."""
    told = (line.removeprefix("E").strip() for line in result.outlines if line.startswith("E "))
    return [line for line in told if line.startswith(("replay: ", "again: "))]


def test_a_lock_that_lies_is_caught_and_told_apart_from_damage(pytester: pytest.Pytester) -> None:
    tests = """
@pytest.mark.parametrize("lock", [Lies, Lies(), "test_mine:Lies"], ids=["class", "object", "name"])
def test_it(lab, lock):
    lab.race(Mine, lock=lock, trials=3).assert_clean()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=3)
    result.stdout.fnmatch_lines(
        [
            "E*test_mine under lies, 4 workers: damaged: conflicting holds overlapped, *",
            "E*was granted write 0-7 while *",
        ]
        * 3
    )


def test_a_lock_that_leaks_one_time_in_a_thousand_is_caught(pytester: pytest.Pytester) -> None:
    """Most requests of the bank meet a holder: of 24,000 about 24 are granted falsely."""
    result = run_tests(pytester, "def test_it(lab):\n    lab.race('bank', leak=1e-3, trials=3).assert_clean()")
    outcomes_of(result, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*bank under fcntl, 4 workers: damaged: conflicting holds overlapped, *",
            "E*NEGATIVE CONTROL: *probability 0.001*",
        ]
    )


FILELOCK = """
from filelock import FileLock
from lab.locks import adapt

class MyScenario(Mine):
    def work(self, w):
        with w.write_lock(self.Memory.value):
            w.memory.value += 1

my_lock = adapt(lambda path: FileLock(path, poll_interval=0.001))

@pytest.mark.parametrize("lock", ["filelock", my_lock], ids=["name", "object"])
def test_it(lab, lock):
    race = lab.race(MyScenario(), lock=lock, workers=8)
    race.assert_clean(detects=1e-2)
    assert race.yielded
"""


def test_a_lock_that_polls_meets_enough_where_workers_wait_inside_which_is_told(pytester: pytest.Pytester) -> None:
    """A tenth of what the race goes on for at most: also on a machine that is busy."""
    result = run_tests(pytester, FILELOCK, "--lab-seconds", "0.5")
    outcomes_of(result, passed=2)
    result.stdout.fnmatch_lines_random(
        [
            "*lab: races with a wider window*",
            "*inside the lock*: else they met too seldom",
            "*test_it[[]name[]]: test_mine:my_scenario under filelock",
            "*test_it[[]object[]]: test_mine:my_scenario under my_lock",
        ]
    )


ALONE = """
import fcntl

class Alone:
    def actions(self, descriptor, start, length, *, write):
        take = lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX, length, start)
        return take, lambda: fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)

class Named(Alone):
    name = "named"

LOCKS = {"class": Alone, "object": Alone(), "place": "test_mine:Alone", "named": Named()}

@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS)
def test_it(lab, lock):
    case = lab.race(Mine, lock=lock, trials=1, rounds=100).case
    assert (case.verdict, case.holds) == ("clean", 400)
    print("called", case.lock)
"""


def test_a_lock_of_the_labs_own_kind_needs_one_method(pytester: pytest.Pytester) -> None:
    result = run_tests(pytester, ALONE, "-s")
    outcomes_of(result, passed=4)
    called = [line.split()[-1] for line in result.outlines if "called" in line]
    assert called == ["Alone", "Alone", "test_mine:Alone", "named"]


def test_locks_that_raise_or_never_return_fail_and_say_so(pytester: pytest.Pytester) -> None:
    tests = """
def test_raises(lab):
    lab.race(Mine, lock=Raises).assert_clean()

def test_never(lab):
    lab.race(Mine, lock=Never, time_limit=1).assert_damaged()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=2)
    result.stdout.fnmatch_lines(
        [
            "E*test_mine under raises, 4 workers: died: lock raises: raised ZeroDivisionError: *",
            "E*test_mine under never, 4 workers: timeout: lock never: no answer on * within 1 s; fix the lock, or *",
        ]
    )
    result.stdout.no_fnmatch_line("*--lock*or*--dir*")


def test_a_factory_of_locks_is_adapted(pytester: pytest.Pytester) -> None:
    tests = """
import fcntl, os
from contextlib import contextmanager
from lab.locks import adapt

@contextmanager
def whole(path):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)

nameless = lambda path: whole(path)
adapted = adapt(lambda path: whole(path), name="adapted")

@pytest.mark.parametrize("lock", [whole, nameless, adapted], ids=["function", "lambda", "adapted"])
def test_it(lab, lock):
    result = lab.race(Mine, lock=lock, trials=2, rounds=200)
    assert result.case.verdict == "clean", result.case.reason
    assert result.case.holds == 1600
"""
    outcomes_of(run_tests(pytester, tests), passed=3)


def test_a_clean_race_that_shows_too_little_fails_and_says_how_much_it_takes(pytester: pytest.Pytester) -> None:
    tests = """
def test_few(lab):
    lab.race("bank", trials=1, rounds=50).assert_clean(detects=1e-4)

def test_alone(lab):
    lab.race("bank", trials=1, rounds=50, workers=1).assert_clean()

def test_no_lock(lab):
    lab.race(Careless, trials=1, rounds=1, workers=1).assert_clean()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=3)
    result.stdout.fnmatch_lines(
        [
            "E*bank under fcntl, 4 workers: clean, but that shows too little: * of 200 rounds met a holder,*"
            "detects=0.0001 asks for 1 in 10,000, which takes 29,956: about * more rounds, as with seconds=*",
            "E*bank under fcntl, 1 worker: clean, but that shows too little: no request met a holder*",
            "E*test_mine:careless under fcntl, 1 worker: clean, but that shows too little: no hold of a lock was*",
        ]
    )


def test_a_race_that_was_to_break_and_did_not_fails(pytester: pytest.Pytester) -> None:
    tests = """
def test_kept(lab):
    lab.race(Mine, trials=1).assert_damaged()

def test_broken(lab):
    lab.race(Mine, lock="none").assert_damaged()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=1, passed=1)
    result.stdout.fnmatch_lines(["E*test_mine under fcntl, 4 workers: was to break and did not in 4,000 rounds; *"])


def test_an_object_races_with_its_state_and_is_run_again_as_a_test(pytester: pytest.Pytester) -> None:
    tests = """
def test_state(lab):
    result = lab.race(Steps(5), trials=1, seed=3)
    assert (result.case.rounds, result.case.verdict, result.run.options.seed) == (77, "clean", 3)

def test_broken(lab):
    lab.race(Steps(5), lock=Lies, trials=3, rounds=3000).assert_clean()
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, passed=1, failed=1)
    assert lines_to_paste(result) == ["again: python -m pytest test_mine.py::test_broken --lab-seed 0"]


def test_what_cannot_be_sent_is_one_line_with_the_next_step(pytester: pytest.Pytester) -> None:
    tests = """
import threading
held = threading.Lock()

class Unpicklable(Mine):
    def __init__(self):
        self.held = held

kept = Unpicklable()

def test_known_by_its_place(lab):
    assert lab.race(kept, trials=1).case.verdict == "clean"

def test_inner(lab):
    class Inner(Mine):
        pass
    lab.race(Inner)

def test_lambda(lab):
    lab.race(Mine, lock=lambda path: None)

def test_unpicklable(lab):
    lab.race(Unpicklable())

def test_made_before(lab):
    lab.race(Mine, lock=held)

def test_made_here(lab):
    lab.race(Mine, lock=threading.Lock())
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, passed=1, failed=5)
    step = "cannot be sent to the process that races*; define it at the top level of a module"
    result.stdout.fnmatch_lines(
        [
            f"E**UsageError: scenario test_inner.<locals>.Inner: {step}",
            f"E**UsageError: lock test_lambda.<locals>.<lambda>: {step}",
            f"E**UsageError: scenario an Unpicklable object: {step}",
            "E**UsageError: lock held: is a lock that was made before the fork*",
            "E**UsageError: lock a lock object: cannot be sent to the process that races*; give what makes one from a "
            "path, at the top level of a module: def make_lock(path): return ...",
        ]
    )
    result.stdout.no_fnmatch_line("*lab/pytest_plugin/*")


WRONG = {
    "lab.race('countr')": "unknown scenario 'countr'; did you mean counter?",
    "lab.race(7)": "scenario 7: give a lab.Scenario, *",
    "lab.race(Mine, lock='fcntk')": "unknown lock 'fcntk'; did you mean fcntl?",
    "lab.race(Mine, lock=None)": 'lock=None: give a name, as in lock="fcntl"; lock="none" races without a lock',
    "lab.race(Mine, lock=5)": "lock: an int is no lock; give a name, a lock of the lab, or what makes one from a path",
    "lab.race(Mine, workers=0)": "workers=0: give a whole number, at least 1",
    "lab.race(Mine, trials=1, seconds=1)": "trials= and seconds= both say *",
    "lab.race(Mine, seconds=0)": "seconds=0 is no time: *",
    "lab.race(Mine, dir='/nowhere')": "dir='/nowhere' is no directory; *",
    "lab.race(Mine, leak=2)": "leak=2 is no probability: *",
    "lab.race(Mine, backing='paper')": "unknown backing 'paper'; *",
    "lab.race(Mine, trials=1).assert_clean(detects=0)": "detects=0 is no rate: *",
    "lab.explore(Mine, lock=Lies)": "lock lies: *",
    "lab.explore(Mine, search='best')": "unknown search 'best'; *",
}


def test_wrong_usage_is_one_line_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    tests = "".join(f"def test_{number}(lab):\n    {call}\n\n" for number, call in enumerate(WRONG))
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=len(WRONG))
    result.stdout.fnmatch_lines([line for call, said in WRONG.items() for line in (f">*{call}", f"E*Error: {said}")])
    result.stdout.no_fnmatch_line("*lab/pytest_plugin/*")


def test_what_the_environment_cannot_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    tests = """
import errno

class Refused(Lies):
    name = "refused"
    def actions(self, descriptor, start, length, *, write):
        raise OSError(errno.ENOLCK, "No locks available")

def test_refused(lab):
    lab.race(Mine, lock=Refused).assert_clean()

def test_no_place(lab):
    lab.race(Mine, dir="/proc").assert_clean()
"""
    result = run_tests(pytester, tests, "-rs")
    outcomes_of(result, skipped=2)
    result.stdout.fnmatch_lines_random(["SKIP*lock refused: refused on *", "SKIP*--dir /proc: cannot be written *"])


def test_a_helper_that_crashes_is_a_failure_with_its_stderr(pytester: pytest.Pytester) -> None:
    tests = """
import os

class Crash(Mine):
    def check(self, memory, outcome):
        os.write(2, b"last words")
        os._exit(9)

def test_it(lab):
    lab.race(Crash, trials=1, rounds=1)
"""
    result = run_tests(pytester, tests)
    outcomes_of(result, failed=1)
    result.stdout.fnmatch_lines(["E*HelperError: the process that races ended with exit code 9 *", "E*last words"])


def test_what_a_worker_prints_is_captured(pytester: pytest.Pytester) -> None:
    tests = """
import os

class Talks(Mine):
    def work(self, w):
        os.write(1, b"said by a worker")

def test_it(lab, capsys):
    assert lab.race(Talks, trials=1, rounds=1, workers=1).run
    assert "said by a worker" in capsys.readouterr().err
"""
    outcomes_of(run_tests(pytester, tests), passed=1)


def test_the_junit_file_tells_the_verdict_and_what_would_have_been_noticed(pytester: pytest.Pytester) -> None:
    tests = "def test_it(lab):\n    assert lab.race('bank', trials=1, rounds=50).run and lab.explore(Mine).run"
    outcomes_of(run_tests(pytester, tests, "--junitxml=out.xml"), passed=1)
    noted = {each.get("name"): each.get("value") for each in Xml.parse(pytester.path / "out.xml").iter("property")}  # noqa: S314
    assert noted["lab bank under fcntl: verdict"] == "clean"
    assert int(noted["lab bank under fcntl: contended_requests"] or 0) > 0
    assert 0 < float(noted["lab bank under fcntl: detection_limit"] or 0) < 1
    assert noted["lab test_mine under fcntl: verdict"] == "holds"


UNSEEN = """
import pytest
RACE = {"trials": 1, "rounds": 20}

def test_nothing(lab):
    lab.race("bank", **RACE)

def test_one_of_several(lab):
    assert lab.race(Mine, **RACE).case.verdict == "clean"
    lab.explore(Mine)
    lab.race("bank", **RACE).yielded

@pytest.fixture
def raced(lab):
    return lab.race("bank", **RACE)

def test_by_another_fixture(raced):
    pass

def test_claimed(raced, lab):
    raced.assert_clean(detects=0.99)
    lab.explore(Mine).assert_holds()

def test_read(raced, lab):
    assert raced.run and lab.explore(Mine).case

def test_failed(lab):
    lab.race("bank", **RACE)
    assert 0

def test_skipped(lab):
    lab.race("bank", **RACE)
    pytest.skip("enough")

@pytest.mark.xfail(strict=True)
def test_expected_to_fail(lab):
    lab.race("bank", **RACE)
    assert 0
"""


def test_a_test_that_passes_and_never_looked_at_a_result_fails_when_it_ends(pytester: pytest.Pytester) -> None:
    result = run_tests(pytester, UNSEEN, "-rE")
    outcomes_of(result, passed=5, errors=3, failed=1, skipped=1, xfailed=1)
    race = "race of bank under fcntl, 4 workers"
    end = ": the test passed and never looked at the result; add "
    shown = [
        f"{race}{end}.assert_clean() or .assert_damaged()",
        f"exploration of test_mine under fcntl, 2 workers x 2 rounds; {race}{end}.assert_exhausted() or "
        ".assert_broken() or .assert_clean() or .assert_damaged()",
        f"{race}{end}.assert_clean() or .assert_damaged()",
    ]
    assert [line for line in result.outlines if end in line and not line.startswith("ERROR")] == shown


def test_the_result_is_the_document_that_the_command_writes(pytester: pytest.Pytester) -> None:
    tests = """
from pathlib import Path
from lab.records import encode

def test_it(lab):
    Path("run.json").write_bytes(encode(lab.race("bank", trials=2, rounds=50).run))
"""
    outcomes_of(run_tests(pytester, tests), passed=1)
    assert json.loads((pytester.path / "run.json").read_text())["options"]["trials"] == 2
    assert "bank" in run_lab("report", pytester.path / "run.json").stdout
