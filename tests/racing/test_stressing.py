from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from ctypes import Structure, c_uint64
from itertools import count
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any, NamedTuple

import pytest

from lab import Damage, Outcome, Scenario, Worker
from lab.locking import NATIVE, Action
from lab.locking.registry import polled
from lab.processes import WorkerPool
from lab.racing import perturb, untried
from lab.racing.faults import find_fault
from lab.racing.mailbox import Pace
from lab.racing.perturb import REQUESTS_A_TURN, AfterWay, insisting, yielding
from lab.racing.recorder import DEADLOCKS, HEADER, REFUSED, ROUNDS_DONE, Log, Segment, Unlocked
from tests.helpers import in_fresh_process, wait_until
from tests.racing.racing import case_of, raced


class Held(NamedTuple):
    """A lock that another has: the log of the request for it, that request, the release of the holder and its own."""

    log: Segment
    request: Action
    release: Action
    give_back: Action


class Answers:
    """A request that is answered with these errors in turn, and then granted."""

    def __init__(self, *codes: int) -> None:
        self.left = list(codes)

    def __call__(self) -> None:
        if self.left:
            code = self.left.pop(0)
            raise OSError(code, os.strerror(code))


def test_a_refused_request_is_made_again_and_each_refusal_counted() -> None:
    log = Log(1, 0).segment(0)
    request = Answers(errno.EAGAIN, errno.EACCES, errno.EDEADLK, errno.EAGAIN)
    insisting(request, log)()
    assert (request.left, log[REFUSED], log[DEADLOCKS]) == ([], 3, 1)


def test_other_errors_are_raised() -> None:
    log = Log(1, 0).segment(0)
    with pytest.raises(OSError, match="No locks available"):
        insisting(Answers(errno.ENOLCK), log)()
    assert not any(log[:HEADER])


def test_without_a_window_a_worker_gives_way_by_a_mere_yield() -> None:
    assert yielding(0) is os.sched_yield


def test_the_pause_comes_before_the_request() -> None:
    order: list[str] = []

    class Ordered(Unlocked):
        def __enter__(self) -> None:
            order.append("request")

        def __exit__(self, *error: object) -> None:
            order.append("release")

    with AfterWay(Ordered(), lambda: order.append("pause")):
        order.append("inside")
    assert order == ["pause", "request", "inside", "release"]


@pytest.mark.parametrize("backing", ["mapped", "stream", "remapped"])
def test_a_race_that_gives_way_is_met_by_most_requests(backing: str, tmp_path: Path) -> None:
    row = in_fresh_process(race_bank, str(tmp_path), backing)
    assert (row["verdict"], row["left"], row["refused_requests"]) == ("clean", [], 0)
    assert row["contended_requests"] > row["holds"] / 4


def race_bank(folder: str, backing: str) -> dict[str, Any]:
    return raced(case_of("bank", "fcntl", backing, stresses=True, rounds=200, pin="one"), [folder])


def test_a_row_that_was_not_tried_has_its_reason_and_no_trial() -> None:
    row = untried(case_of("counter", "flock"), "timeout", "because")
    assert (row.verdict, row.reason, row.trials, row.operations) == ("timeout", "because", 0, 0)


def test_a_trial_that_does_rounds_has_another_time_limit_and_one_that_does_none_has_not() -> None:
    log = Log(2, 0)
    pace = Pace(log, most=4)
    going = []
    for done in (3, 3, 4, 6, 9):
        log.segment(1)[ROUNDS_DONE] = done
        going.append(pace.goes_on())
    assert (going, pace.limits) == ([True, False, True, True, False], 4)
    assert not Pace(log, most=1).goes_on()


def test_workers_that_the_machine_keeps_from_their_work_have_another_time_limit() -> None:
    pace = Pace(Log(2, 0), most=4, stalled=iter([True, True, False]).__next__)
    assert [pace.goes_on() for _ in range(3)] == [True, True, False]


def test_what_was_done_in_the_first_half_of_the_limit_is_no_sign_of_rounds_at_its_end() -> None:
    log = Log(2, 0)
    log.segment(1)[ROUNDS_DONE] = 3
    before, after = Pace(log, most=4), Pace(log, most=4)
    before.look()
    assert (before.goes_on(), after.goes_on()) == (False, True)


def test_each_case_of_a_race_has_more_limits_while_its_workers_do_rounds() -> None:
    assert case_of("counter", "fcntl").setting.most_limits > 1


class SlowStart(Scenario):
    """Each worker comes to the barrier after two time limits."""

    rounds = 5

    class Memory(Structure):
        _fields_ = [("value", c_uint64)]

    def start(self, w: Worker) -> None:
        sleep(2 * SHORT_S)

    def work(self, w: Worker) -> None:
        with w.write_lock():
            w.memory.value += 1

    def check(self, memory: Any, outcome: Outcome) -> Damage:
        return Damage("lost update", outcome.rounds - memory.value, outcome.rounds)


SHORT_S = 0.1
KINDS: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "stress": {"stresses": True},
    "fault": {"fault": find_fault("lock", "waiter signalled")},
}


def limited(folder: str, kind: str) -> list[Any]:
    """The verdict of a trial with short limits, and whether its workers' rounds were counted after half of one."""
    looks, wait = [], WorkerPool.wait

    def noted(self: WorkerPool, limit_s: float, *, halfway: Any = None, **given: Any) -> Any:
        looks.append(halfway is not None)
        return wait(self, limit_s, halfway=halfway, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerPool, "wait", noted)
        case = case_of(SlowStart, "fcntl", time_limit_s=SHORT_S, most_limits=600, **KINDS[kind])
        row = raced(case, [folder])
    return [row["verdict"], any(looks)]


@pytest.mark.parametrize(("kind", "counted"), [("ordinary", True), ("stress", False), ("fault", False)])
def test_workers_may_start_in_all_limits_and_stand_still_in_one_that_is_as_short_as_a_wait(
    kind: str, counted: bool, tmp_path: Path
) -> None:
    assert in_fresh_process(limited, str(tmp_path), kind) == ["clean", counted]


class Hangs(SlowStart):
    """Its workers come to the barrier, and do no round."""

    def start(self, w: Worker) -> None:
        pass

    def work(self, w: Worker) -> None:
        signal.pause()


def stalling(folder: str, kind: str) -> list[Any]:
    """The verdict of a trial on a machine that keeps the workers from their work, and how often that was asked."""
    asked = count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerPool, "stalled", lambda *_: next(asked) < 3)
        row = raced(case_of(Hangs, "fcntl", time_limit_s=SHORT_S, most_limits=600, **KINDS[kind]), [folder])
    return [row["verdict"], next(asked) - 1]


@pytest.mark.parametrize(("kind", "asked"), [("ordinary", 0), ("stress", 0), ("fault", 3)])
def test_only_under_a_fault_a_machine_that_stands_still_gives_another_limit(
    kind: str, asked: int, tmp_path: Path
) -> None:
    assert in_fresh_process(stalling, str(tmp_path), kind) == ["timeout", asked]


IN_C = pytest.mark.skipif(not NATIVE, reason="nothing is compiled here")
REPEATED = [pytest.param(True, marks=IN_C, id="compiled"), pytest.param(False, id="python")]


@pytest.fixture(params=REPEATED)
def held(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """A polled lock that another has, and the request for it, which is made again in C or in Python."""
    if not request.param:
        monkeypatch.setattr(perturb, "NATIVE", None)
    path = tmp_path / "file"
    path.touch()
    with path.open("r+b") as one, path.open("r+b") as other:
        acquire, release = polled("flock").actions(one.fileno(), 0, 0, write=True)
        log = Log(1, 0).segment(0)
        acquire()
        again, give_back = polled("flock").actions(other.fileno(), 0, 0, write=True)
        yield Held(log, insisting(again, log), release, give_back)


def after_refusals(log: Segment, act: Callable[[], object]) -> Thread:
    """Let a thread act once the request was refused some times."""

    def watch() -> None:
        wait_until(lambda: log[REFUSED] > 2 * REQUESTS_A_TURN, "the request is refused again and again")
        act()

    thread = Thread(target=watch)
    thread.start()
    return thread


def test_a_request_that_is_refused_is_made_until_the_holder_releases(held: Held) -> None:
    releasing = after_refusals(held.log, held.release)
    held.request()
    releasing.join()
    assert (held.log[REFUSED] > 2 * REQUESTS_A_TURN, held.log[DEADLOCKS]) == (True, 0)
    held.give_back()


def test_a_signal_whose_handler_raises_ends_the_requests(held: Held) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        sending = after_refusals(held.log, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        with pytest.raises(KeyboardInterrupt):
            held.request()
        sending.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


@IN_C
def test_a_compiled_request_raises_other_errors_and_takes_no_log_that_is_too_short() -> None:
    assert NATIVE
    call, log = NATIVE.Call(-1, NATIVE.FLOCK, fcntl.LOCK_EX), Log(1, 0).segment(0)
    with pytest.raises(OSError, match="Bad file descriptor: 'flock'"):
        insisting(call, log)()
    assert not any(log[:HEADER])
    for words, turn in ((DEADLOCKS, 1), (HEADER, 0)):
        with pytest.raises(ValueError, match="a log has more than"):
            NATIVE.Insisting(call, log[:words], turn)
