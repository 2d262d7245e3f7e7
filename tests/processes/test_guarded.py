"""A child behind a guard: what it tells arrives, and nothing that it forked survives it, or the lab."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError, UsageError
from lab.processes import guarded as module
from lab.processes.guarded import KILL, TERMINATE, Cleaned, Guarded, Over, Raised, Refused, Send
from tests.helpers import PATIENCE_S, OtherProcess, in_fresh_process, is_running, wait_until


def until_over(guarded: Guarded) -> list[Any]:
    """All that is sent up to the end of the worker and its processes."""
    found: list[Any] = []
    deadline = time.monotonic() + PATIENCE_S
    while not any(isinstance(each, Over | Refused) for each in found):
        assert time.monotonic() < deadline, found
        found += guarded.received(0.1)
    return found


def sleep_on(_: Send) -> None:
    signal.pause()


def nothing(_: int) -> str:
    return ""


def told_by_a_worker() -> list[str]:
    def body(send: Send) -> None:
        for word in ("a", "b" * 300_000):
            send(word)

    with Guarded(body, lambda how: f"way {how}") as made:
        found = until_over(made)
        made.clean_up(3)
        while not any(isinstance(each, Cleaned) for each in found):
            found += made.received(0.1)
    return [each[:3] if isinstance(each, str) else repr(each) for each in found]


def test_what_the_worker_sends_arrives_then_its_end_then_the_clean_up_when_it_was_asked_for() -> None:
    assert in_fresh_process(told_by_a_worker) == ["a", "bbb", "Over(code=0, left=[])", "Cleaned(answer='way 3')"]


class OddError(Exception):
    """One that cannot be sent."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__("odd")


def raised_by_a_worker(odd: bool) -> list[str]:
    def body(_: Send) -> None:
        raise OddError(1, 2) if odd else UsageError("give another")

    with Guarded(body, nothing) as made:
        raised, over = until_over(made)
    assert isinstance(raised, Raised)
    return [repr(raised.error), raised.trace.splitlines()[-1], repr(over)]


@pytest.mark.parametrize(
    ("odd", "error"), [(False, "UsageError('give another')"), (True, "RuntimeError('OddError: odd')")]
)
def test_an_exception_of_the_worker_arrives_with_its_place(odd: bool, error: str) -> None:
    found, last, over = in_fresh_process(raised_by_a_worker, odd)
    assert (found, over) == (error, "Over(code=0, left=[])")
    assert last.endswith(("UsageError: give another", "OddError: odd"))


# Nobody is left


def fork_many(pids: str) -> None:
    """A child, a grandchild that goes on alone, and one in a session of its own; none hears of a parent's death."""
    for depth in (1, 2, 2):
        noted, note = os.pipe()
        if not os.fork():
            if depth == 2 and os.fork():
                os._exit(0)
            os.setsid()
            with Path(pids).open("a") as file:
                file.write(f"{os.getpid()}\n")
            os.close(note)
            signal.pause()
        os.close(note)
        os.read(noted, 1)


def noted(pids: Path) -> list[int]:
    return [int(line) for line in pids.read_text().split()] if pids.exists() else []


def ended_with(pids: str, how: str) -> list[Any]:
    """How the worker ended and who is left, where it ends by itself, is told to, or is killed."""

    def body(send: Send) -> None:
        fork_many(pids)
        if how == "killed":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send("forked")
        if how != "itself":
            signal.pause()

    with Guarded(body, nothing) as made:
        found: list[Any] = []
        while "forked" not in found:
            found += made.received(0.1)
        made.order(TERMINATE)
        if how == "killed":
            made.order(KILL)
        over = next(each for each in [*found, *until_over(made)] if isinstance(each, Over))
    return [over.code, over.left, [pid for pid in noted(Path(pids)) if is_running(pid)], len(noted(Path(pids)))]


@pytest.mark.parametrize(("how", "codes"), [("itself", [0, -15]), ("told", [-15]), ("killed", [-9])])
def test_whatever_the_worker_forked_ends_with_it(how: str, codes: list[int], tmp_path: Path) -> None:
    code, left, running, count = in_fresh_process(ended_with, str(tmp_path / "pids"), how)
    assert code in codes
    assert (left, running, count) == ([], [], 3)


def guard_for_ever(pids: str, cleaned: str) -> None:
    def body(send: Send) -> None:
        fork_many(pids)
        signal.pause()

    def clean(_: int) -> str:
        Path(cleaned).touch()
        return ""

    with Guarded(body, clean):
        signal.pause()


def test_the_guard_ends_them_and_cleans_up_where_the_lab_is_killed(tmp_path: Path) -> None:
    pids, cleaned = tmp_path / "pids", tmp_path / "cleaned"
    with OtherProcess() as lab:
        lab.start(guard_for_ever, str(pids), str(cleaned))
        wait_until(lambda: len(noted(pids)) == 3, "all are forked")
        lab.kill()
        wait_until(cleaned.exists, "the guard has cleaned up")
    assert [pid for pid in noted(pids) if is_running(pid)] == []


def block_left(stops: str) -> list[Any]:
    """The block is left with everybody at work, the guard itself stopped, where asked for."""
    with Guarded(sleep_on, nothing) as made:
        if stops:
            os.kill(made.guard.pid, signal.SIGSTOP)
            module.KILLED_S = 0.05
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return [is_running(made.guard.pid), "no child"]
    return [is_running(made.guard.pid), "a child"]


@pytest.mark.parametrize("stops", ["", "stopped"])
def test_the_block_leaves_nobody(stops: str) -> None:
    assert in_fresh_process(block_left, stops) == [False, "no child"]


def end_of_a_pipe() -> bool:
    """Whether a pipe that the lab has open ends while guard and worker live."""
    readable, held = os.pipe()
    with Guarded(sleep_on, nothing):
        os.close(held)
        return bool(select.select([readable], [], [], PATIENCE_S)[0])


def test_guard_and_worker_hold_nothing_of_the_lab_open() -> None:
    assert in_fresh_process(end_of_a_pipe)


def fork_refused(after: int) -> str:
    """What is said where the guard, or the worker, cannot be forked."""
    real, forks = vars(module)["fork_child"], list[int]()

    def fork_child(body: Callable[[], None], **how: Any) -> int:
        if len(forks) == after:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        forks.append(1)
        return int(real(body, **how))

    vars(module).update(fork_child=fork_child)
    try:
        with Guarded(lambda _: None, nothing) as made:
            return repr(until_over(made)[-1])
    except CannotRunError as error:
        return str(error)


def test_a_fork_that_is_refused_is_told() -> None:
    assert [in_fresh_process(fork_refused, after) for after in (0, 1)] == [
        "fork refused (Cannot allocate memory); raise the limits (ulimit -u, -n)",
        "Refused(reason='Cannot allocate memory')",
    ]
