"""One actor: what is said of calls that it answers, does not answer, or does not live through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

import psutil
import pytest

from lab.checking.actors.controller import ANSWER_S, ActorHandle
from lab.host.procfs import STOPPED
from tests.helpers import in_fresh_process

WAIT = ("flock", "f", "exclusive", "wait")


@contextmanager
def an_actor(path: str = "") -> Iterator[ActorHandle]:
    """One that has the file open, if there is one, and that is ended and reaped with the block."""
    handle = ActorHandle.forked(0)
    try:
        if path:
            assert made(handle, "open", path, "f", "rw", "", "") == "ok"
        yield handle
    finally:
        handle.process.send(SIGKILL)
        handle.process.wait(ANSWER_S)
        handle.close()


def made(handle: ActorHandle, *command: str) -> str | None:
    """What a call comes to; None where it is not answered."""
    handle.tell(*command)
    return handle.answer(ANSWER_S)


def state_of(handle: ActorHandle) -> list[bool]:
    """Whether it is as a new one, and whether it has a call that is not answered."""
    return [handle.fresh, handle.pending is not None]


def answers(path: str, commands: list[list[str]]) -> list[str | None]:
    """What one actor says to each of these."""
    with an_actor(path) as handle:
        heard = [made(handle, *command) for command in commands]
        assert state_of(handle) == [True, False]
    assert not psutil.Process().children()
    return heard


def test_an_actor_answers_one_call_after_the_other(tmp_path: Path) -> None:
    calls = [["F_SETLK", "f", "write", "0", "1"], ["F_GETLK", "f", "write", "0", "1"], ["close", "f"], ["close", "f"]]
    assert in_fresh_process(answers, str(tmp_path / "file"), calls) == ["granted", "free", "ok", "EBADF"]


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("load f 0 4", "raised KeyError: 'f'"),
        ("dance", "raised AttributeError: 'Actor' object has no attribute '_do_dance'"),
        ("seek f five", "raised ValueError: invalid literal for int() with base 10: 'five'"),
        ("thread seek f five", "raised ValueError: invalid literal for int() with base 10: 'five'"),
    ],
)
def test_an_actor_that_raises_says_what_and_lives_on(call: str, answer: str) -> None:
    assert in_fresh_process(answers, "", [call.split(), ["forget"]]) == [answer, "ok"]


def ended_while_it_waits(path: str, number: int) -> list[object]:
    """What is said of a call during which a signal ends the actor, and of the next one."""
    with an_actor(path) as holder, an_actor(path) as handle:
        assert made(holder, "flock", "f", "exclusive") == "granted"
        handle.tell(*WAIT)
        said = [handle.outcome(0.01), state_of(handle)]
        handle.process.send(Signals(number))
        return [*said, handle.answer(ANSWER_S), state_of(handle), made(handle, "forget")]


@pytest.mark.parametrize("number", [SIGTERM, SIGKILL])
def test_an_actor_that_dies_in_a_call_is_told_by_its_signal_from_then_on(number: Signals, tmp_path: Path) -> None:
    said = in_fresh_process(ended_while_it_waits, str(tmp_path / "file"), int(number))
    assert said == ["waits", [True, True], number.name, [False, False], number.name]


def without_an_answer(path: str, command: list[str]) -> list[object]:
    """What is said of a call of an actor that does not run, and whether the call is pending; then it goes on."""
    with an_actor(path) as handle:
        handle.process.send(SIGSTOP)
        assert handle.process.reaches(STOPPED, ANSWER_S, wanted=True)
        handle.tell(*command)
        said = handle.outcome(0.01) if command[-1] == "wait" else handle.answer(0.1) or handle.silence()
        pending = state_of(handle)
        handle.process.send(SIGCONT)
        return [said, pending, handle.answer(ANSWER_S), state_of(handle)]


@pytest.mark.parametrize(("command", "answer"), [(["seek", "f", "5"], "ok"), ([*WAIT], "granted")])
def test_a_call_without_an_answer_is_told_with_the_place_where_it_hangs_and_stays_pending(
    command: list[str], answer: str, tmp_path: Path
) -> None:
    said, pending, *later = in_fresh_process(without_an_answer, str(tmp_path / "file"), command)
    assert said.startswith(f"no answer in {ANSWER_S:g} s, asleep in ")
    assert pending == [True, True]
    assert later == [answer, [True, False]]


def forked_by_one_that_is_stopped() -> list[object]:
    """What comes of a fork that is not answered."""
    with an_actor() as handle:
        handle.process.send(SIGSTOP)
        assert handle.process.reaches(STOPPED, ANSWER_S, wanted=True)
        return [handle.fork("fork"), len(psutil.Process().children())]


def test_a_fork_that_is_not_answered_is_told_as_any_call() -> None:
    said, children = in_fresh_process(forked_by_one_that_is_stopped)
    assert (said.partition(",")[0], children) == (f"no answer in {ANSWER_S:g} s", 1)


def killed_before_it_heard(then: str) -> str | None:
    """What is said of a call that the actor did not live to read."""
    with an_actor() as handle:
        handle.process.send(SIGSTOP)
        assert handle.process.reaches(STOPPED, ANSWER_S, wanted=True)
        handle.tell("forget")
        handle.process.send(SIGKILL)
        handle.process.wait(ANSWER_S)
        return handle.answer(ANSWER_S) if then == "heard" else made(handle, "forget")


@pytest.mark.parametrize("then", ["heard", "told another"])
def test_an_actor_that_dies_before_it_reads_the_call_is_told_by_its_signal(then: str) -> None:
    assert in_fresh_process(killed_before_it_heard, then) == "SIGKILL"


def forked_by_the_dead() -> object:
    with an_actor() as handle:
        handle.process.send(SIGKILL)
        handle.process.wait(ANSWER_S)
        return handle.fork("fork")


def test_a_fork_of_a_dead_actor_is_told_by_its_signal() -> None:
    assert in_fresh_process(forked_by_the_dead) == "SIGKILL"
