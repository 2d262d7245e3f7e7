"""Modules of tests that use the fixture `lab`, how their tests end, and what is said; all are run by one pytest."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A module that follows the scenarios of tests/pytest_plugin/writing.py.

    Races of many rounds have a time limit that no busy machine exceeds.
    """

    tests: str
    outcomes: dict[str, int]
    lines: list[str]
    """Patterns of lines that come in this order, among others."""
    absent: str = "*lab/pytest_plugin/*"
    """The pattern of a line that does not come."""


def passing(count: int, tests: str) -> Case:
    """Tests that assert by themselves."""
    return Case(tests, {"passed": count}, [])


WRONG = {
    "lab.race('countr')": "unknown scenario 'countr'; did you mean counter?",
    "lab.race(7)": "scenario 7: give a lab.Scenario, *",
    "lab.race(Mine, lock='fcntk')": "unknown lock 'fcntk'; did you mean fcntl?",
    "lab.race(Mine, lock=None)": 'lock=None: give a name, as in lock="fcntl"; lock="none" races without a lock',
    "lab.race(Mine, lock=5)": "lock int: is an int, which cannot be called; *",
    "lab.race(Mine, workers=0)": "workers=0: 0 is too few: at least 1",
    "lab.race(Mine, trials=1, seconds=1)": "trials= and seconds= both say *",
    "lab.race(Mine, seconds=0)": "seconds=0: 0 is no time: *",
    "lab.race(Mine, dir='/nowhere')": "dir='/nowhere' is no directory; *",
    "lab.race(Mine, leak=2)": "leak=2: 2 is no probability: *",
    "lab.race(Mine, backing='paper')": "unknown backing 'paper'; *",
    "lab.race(Mine, trials=1).assert_clean(detects=0)": "detects=0 is no rate: *",
    "lab.race(Mine, wrkers=2)": "unknown argument 'wrkers'; did you mean workers?",
    "lab.explore(Mine, lock=Lies)": "lock lies: *",
    "lab.explore(Mine, search='best')": "unknown search 'best'; *",
}
ELSEWHERE = "cannot be sent to the process that races (*); "
UNSEEN = ": the test passed and never looked at the result; add "

CASES = {
    "issue": passing(2, """
from lab.locking.kernel import Fcntl

class MyScenario(Mine):
    pass

my_lock = Fcntl()

def test_my_lock_protects_the_file(lab):
    lab.race(MyScenario(), lock=my_lock, workers=8).assert_clean(detects=1e-3)

def test_no_interleaving_breaks_it(lab):
    lab.explore(MyScenario(), lock="fcntl", workers=2, rounds=2).assert_exhausted()
"""),
    "damage": Case(
        "def test_it(lab):\n    lab.race(Careless, trials=3, rounds=2000, time_limit=600).assert_clean()",
        {"failure": 1}, [
        ">*lab.race(Careless, trials=3, rounds=2000, time_limit=600).assert_clean()",
        "E*AssertionError: test_damage:careless under fcntl, 4 workers: damaged: the lock held and the data broke *",
        "E*lost update: value is *",
        "E*scenario*verdict*",
        "E*test_damage:careless*FAILED: broke*",
        "E*why test_damage:careless under fcntl broke, the shortest interleaving:",
        "E*switch >*",
        "E*replay: lab replay L1,test_damage.py:careless,fcntl,*",
        "E*again: lab race test_damage.py:careless --lock fcntl --workers 4 --rounds 2000 --trials 3 *",
    ]),
    "lying_lock": Case("""
@pytest.mark.parametrize("lock", [Lies, Lies(), "test_lying_lock:Lies"], ids=["class", "object", "name"])
def test_it(lab, lock):
    lab.race(Mine, lock=lock, trials=3, time_limit=600).assert_clean()
""", {"failure": 3}, 3 * [
        "E*test_lying_lock under lies, 4 workers: damaged: conflicting holds overlapped, *",
        "E*was granted write 0-7 while *",
    ]),
    # Most requests of the bank meet a holder: of 24,000 about 24 are granted falsely.
    "leak": Case(
        "def test_it(lab):\n    lab.race('bank', leak=1e-3, trials=3, time_limit=600).assert_clean()",
        {"failure": 1}, [
        "E*bank under fcntl, 4 workers: damaged: conflicting holds overlapped, *",
        "E*NEGATIVE CONTROL: *probability 0.001*",
    ]),
    # A tenth of what the race goes on for at most: also on a machine that is busy.
    "polls": passing(2, """
from filelock import FileLock
from lab.locking import adapt

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
"""),
    "one_method": passing(4, """
import fcntl

class Alone:
    def actions(self, descriptor, start, length, *, write):
        take = lambda: fcntl.lockf(descriptor, fcntl.LOCK_EX, length, start)
        return take, lambda: fcntl.lockf(descriptor, fcntl.LOCK_UN, length, start)

class Named(Alone):
    name = "named"

@pytest.mark.parametrize(("lock", "name"), [
    (Alone, "Alone"), (Alone(), "Alone"), ("test_one_method:Alone", "test_one_method:Alone"), (Named(), "named")
])
def test_it(lab, lock, name):
    case = lab.race(Mine, lock=lock, trials=1, rounds=100).case
    assert (case.verdict, case.holds, case.lock) == ("clean", 400, name)
"""),
    "broken_lock": Case("""
def test_raises(lab):
    lab.race(Mine, lock=Raises).assert_clean()

def test_never(lab):
    lab.race(Mine, lock=Never, time_limit=1).assert_damaged()
""", {"failure": 2}, [
        "E*under raises, 4 workers: died: lock raises: raised ZeroDivisionError: *",
        "E*under never, 4 workers: timeout: lock never: no answer on * within 1 s; fix the lock, or *",
    ], absent="*--lock*or*--dir*"),
    "factory": passing(3, """
import fcntl, os
from contextlib import contextmanager
from lab.locking import adapt

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
    result = lab.race(Mine, lock=lock, trials=2, rounds=200, time_limit=600)
    assert (result.case.verdict, result.case.reason, result.case.holds) == ("clean", "", 1600)
"""),
    "too_weak": Case("""
def test_few(lab):
    lab.race("bank", trials=1, rounds=50).assert_clean(detects=1e-4)

def test_alone(lab):
    lab.race("bank", trials=1, rounds=50, workers=1).assert_clean()

def test_no_lock(lab):
    lab.race(Careless, trials=1, rounds=1, workers=1).assert_clean()
""", {"failure": 3}, [
        "E*bank under fcntl, 4 workers: clean, but that shows too little: * of 200 rounds met a holder,*"
        "detects=0.0001 asks for 1 in 10,000, which takes 29,956: about * more rounds, as with seconds=*",
        "E*bank under fcntl, 1 worker: clean, but that shows too little: no request met a holder*",
        "E*careless under fcntl, 1 worker: clean, but that shows too little: no hold of a lock was*",
    ]),
    "not_broken": Case("""
def test_kept(lab):
    lab.race(Mine, trials=1, time_limit=600).assert_damaged()

def test_broken(lab):
    lab.race(Mine, lock="none").assert_damaged()
""", {"failure": 1, "passed": 1}, ["E*under fcntl, 4 workers: was to break and did not in 4,000 rounds; *"]),
    "state": Case("""
def test_state(lab):
    result = lab.race(Steps(5), trials=1, seed=3)
    assert (result.case.rounds, result.case.verdict, result.run.options.seed) == (77, "clean", 3)

def test_broken(lab):
    lab.race(Steps(5), lock=Lies, trials=3, rounds=3000, time_limit=600).assert_clean()
""", {"passed": 1, "failure": 1}, ["E*again: python -m pytest test_state.py::test_broken --lab-seed 0"]),
    "unsendable": Case("""
import fcntl, os, threading
from contextlib import contextmanager
held = threading.Lock()

@contextmanager
def held_by(path):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)

class Unpicklable(Mine):
    def __init__(self):
        self.held = held

kept = Unpicklable()

def test_known_by_its_place(lab):
    assert lab.race(kept, trials=1).case.verdict == "clean"

def test_what_a_test_defines_is_sent_by_value(lab):
    step = 2
    class Inner(Mine):
        def work(self, w):
            with w.write_lock(self.Memory.value):
                w.memory.value += step - 1
    class Silent(Lies):
        name = "silent"
    result = lab.race([Inner, Inner()], lock=[Silent, lambda path: held_by(path)], trials=1, rounds=200)
    assert [case.lock for case in result.cases] == ["silent", "adapted"] * 2
    assert [case.operations for case in result.cases] == [800] * 4
    assert result.cases[1].verdict == result.cases[3].verdict == "clean"

def test_unpicklable(lab):
    lab.race(Unpicklable())

def test_made_before(lab):
    lab.race(Mine, lock=held)

def test_made_here(lab):
    lab.race(Mine, lock=threading.Lock())
""", {"passed": 2, "failure": 3}, [
        f"E**UsageError: scenario an Unpicklable object: {ELSEWHERE}make what it holds inside its methods",
        "E**UsageError: lock held: is a lock that was made before the fork*",
        f"E**UsageError: lock a lock object: {ELSEWHERE}give what makes one from a path: def make_lock(path): *",
    ]),
    "wrong_usage": Case(
        "".join(f"def test_{number}(lab):\n    {call}\n\n" for number, call in enumerate(WRONG)),
        {"failure": len(WRONG)},
        [line for call, said in WRONG.items() for line in (f">*{call}", f"E*Error: {said}")],
    ),
    "environment": Case("""
import errno

class Refused(Lies):
    name = "refused"
    def actions(self, descriptor, start, length, *, write):
        raise OSError(errno.ENOLCK, "No locks available")

def test_refused(lab):
    lab.race(Mine, lock=Refused).assert_clean()

def test_no_place(lab):
    lab.race(Mine, dir="/proc").assert_clean()
""", {"skipped": 2}, ["*lock refused: refused on *", "*dir= /proc: cannot be written *"]),
    "crash": Case("""
import os

class Crash(Mine):
    def check(self, memory, outcome):
        os.write(2, b"last words")
        os._exit(9)

def test_it(lab):
    lab.race(Crash, trials=1, rounds=1)
""", {"failure": 1}, ["E*HelperError: the process that races ended with exit code 9 *", "E*last words"]),
    "captured": passing(1, """
import os

class Talks(Mine):
    def work(self, w):
        os.write(1, b"said by a worker")

def test_it(lab, capsys):
    assert lab.race(Talks, trials=1, rounds=1, workers=1).run
    assert "said by a worker" in capsys.readouterr().err
"""),
    "recorded": passing(1, """
from pathlib import Path
from lab.records import encode

def test_it(lab):
    Path("run.json").write_bytes(encode(lab.race("bank", trials=2, rounds=50).run))
    assert lab.explore(Mine).run
"""),
    # Of a test that passes and never looked at a result there is an error when it ends.
    "unseen": Case("""
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
""", {"passed": 2, "error": 3, "failure": 1, "skipped": 2}, [
        f"race of bank under fcntl, 4 workers{UNSEEN}.assert_clean() or .assert_damaged()",
        "exploration of test_unseen under fcntl, 2 workers x 2 rounds; race of bank under fcntl, 4 workers"
        f"{UNSEEN}.assert_exhausted() or .assert_broken() or .assert_clean() or .assert_damaged()",
        f"race of bank under fcntl, 4 workers{UNSEEN}.assert_clean() or .assert_damaged()",
    ]),
    "explored": passing(4, """
def test_exhausted(lab):
    lab.explore(Mine).assert_exhausted()

def test_state(lab):
    lab.explore(Steps(2), lock="ofd").assert_exhausted()

def test_holds(lab):
    result = lab.explore("bank", workers=3, rounds=2, search="bound", preemptions=0)
    result.assert_holds()
    assert not result.case.exhausted

def test_broken(lab):
    lab.explore(Careless).assert_broken("lost update")
    lab.explore(Mine(), lock="none").assert_broken()
"""),
    "not_so": Case("""
class Idle(Mine):
    def work(self, w):
        pass

def test_breaks(lab):
    lab.explore(Careless).assert_exhausted()

def test_state_breaks(lab):
    lab.explore(Steps(2), lock="none").assert_holds()

def test_other_kind(lab):
    lab.explore(Careless).assert_broken("torn write")

def test_holds(lab):
    lab.explore(Mine).assert_broken()

def test_not_all(lab):
    lab.explore("bank", workers=3, rounds=2, search="bound", preemptions=0).assert_exhausted()

def test_unknown(lab):
    lab.explore("append_log", lock="fcntl", workers=4, rounds=6, search="random", time_limit=0.2).assert_exhausted()

def test_idle(lab):
    lab.explore(Idle).assert_exhausted()
""", {"failure": 7}, [
        "E*test_not_so:careless under fcntl, 2 workers x 2 rounds: broken: lost update: worker 0 overwrites *",
        "E*switch >*",
        "E*replay: lab replay L1,test_not_so.py:careless,fcntl,2x1,*",
        "E*test_not_so:steps under none, 2 workers x 2 rounds: broken: steps lost: *",
        "E*again: python -m pytest test_not_so.py::test_state_breaks --lab-seed 0",
        "E*broken, but by lost update, not by torn write",
        "E*under fcntl, 2 workers x 2 rounds: was to break and did not",
        "E*bank under fcntl, 3 workers x 2 rounds: not exhausted: nothing broke in *",
        "E*which is not all; raise time_limit= or lower rounds=.",
        "E*CannotRunError: scenario test_not_so:idle: worker 0 took no step *",
    ], absent="*--time-limit*"),
    "only_here": Case("""
import sys
if "pytest_timeout" not in sys.modules:
    raise RuntimeError("only here")

def test_it(lab):
    lab.race(Mine)
""", {"failure": 1}, ["E*UsageError: scenario: cannot be made in the process that races (RuntimeError: *"]),
}  # fmt: skip
