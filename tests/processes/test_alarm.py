from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from lab.processes.deadlines import Limited, TooLong

LONG_S = 3600.0


def spins() -> None:
    while True:
        pass


def catches() -> None:
    while True:
        with suppress(Exception):
            spins()


def swallows_the_first() -> None:
    try:
        spins()
    except BaseException:
        time.sleep(LONG_S)


@pytest.fixture
def clock() -> Iterator[Any]:
    """The handler and the timer that were set before the test, which are so again after it."""
    handler, timer = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


@pytest.mark.parametrize("call", [spins, catches, swallows_the_first, lambda: time.sleep(LONG_S)])
def test_whatever_python_is_at_is_broken_off(call: Callable[[], None], clock: Any) -> None:
    with pytest.raises(TooLong), Limited(0.02):
        call()


def test_a_call_that_ends_in_time_is_left_alone_and_no_clock_goes_on(clock: Any) -> None:
    with Limited(LONG_S):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > LONG_S - 600
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_it_raises_itself_passes_and_no_clock_goes_on(clock: Any) -> None:
    with pytest.raises(KeyError), Limited(LONG_S):
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_clock_that_was_set_before_goes_on_with_its_own_handler(clock: Any) -> None:
    def handler(number: int, frame: object) -> None:
        raise AssertionError("nobody waits for so long")

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, LONG_S, 7.0)
    with Limited(1.0):
        pass
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    assert LONG_S - 600 < left <= LONG_S
    assert interval == 7.0
    assert signal.getsignal(signal.SIGALRM) is handler


def test_in_another_thread_nothing_is_limited(clock: Any) -> None:
    done = []

    def call() -> None:
        with Limited(1e-6):
            done.append(sum(range(100_000)))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert len(done) == 1
