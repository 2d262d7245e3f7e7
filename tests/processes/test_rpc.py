"""A child: it answers, it may die of what it is asked, and it never outlives its block."""

from __future__ import annotations

import errno
import faulthandler
import os
import resource
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread, get_ident

import pytest

from lab.errors import CannotRunError
from lab.host.procfs import ASLEEP, process_stat, sleeps_in
from lab.processes import Terminated, stop_on_sigterm
from lab.processes.deadlines import Watched
from lab.processes.rpc import ChildRpc, Gone
from tests.helpers import in_fresh_process, wait_until

LONG_S = 600.0


def kills_itself(number: int) -> bytes:
    os.kill(os.getpid(), number)
    return b"lived on"


def answers() -> list[str]:
    """What it remembers from question to question, which the parent does not see."""
    asked: list[bytes] = []

    def respond(question: bytes) -> bytes:
        asked.append(question)
        return b" ".join(asked)

    with ChildRpc(respond) as child:
        return [*(child.ask(question).decode() for question in (b"one", b"two")), str(asked)]


def test_a_child_answers_one_question_after_the_other_in_memory_of_its_own() -> None:
    assert in_fresh_process(answers) == ["one", "one two", "[]"]


def ended_by(number: int) -> list[object]:
    """How an attempt ends that this signal ends, with faulthandler on as in a development mode."""
    faulthandler.enable()
    try:
        return [attempt(lambda: kills_itself(number)).decode()]
    except Gone as gone:
        return [gone.code, children()]


def attempt(deed: Callable[[], bytes]) -> bytes:
    with ChildRpc(lambda _: deed()) as child:
        return child.ask(b"?")


def children() -> int:
    """Processes that this one has not reaped."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return 0
    return 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGKILL])
def test_a_signal_that_ends_an_attempt_is_what_it_came_to(number: int) -> None:
    assert in_fresh_process(ended_by, int(number)) == [-number, 0]


def dies_quietly() -> list[object]:
    """What the stderr and the folder of a process hold after a child died there of SIGSEGV."""
    faulthandler.enable()
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    sys.stderr.flush()
    read, write = os.pipe()
    kept = os.dup(2)
    os.dup2(write, 2)
    with suppress(Gone):
        attempt(lambda: kills_itself(signal.SIGSEGV))
    os.dup2(kept, 2)
    os.close(write)
    return [os.read(read, 1000).decode(), [path.name for path in Path.cwd().glob("core*")]]


def test_a_child_dies_without_a_word_and_leaves_no_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert in_fresh_process(dies_quietly) == ["", []]


def asks_the_dead() -> list[int]:
    codes = []
    with ChildRpc(lambda _: kills_itself(signal.SIGKILL)) as child:
        for _ in range(2):
            with suppress(Gone):
                child.ask(b"?")
            try:
                child.ask(b"?")
            except Gone as gone:
                codes.append(gone.code)
    return codes


def test_who_is_gone_is_gone_for_every_further_question() -> None:
    assert in_fresh_process(asks_the_dead) == [-signal.SIGKILL] * 2


def leaves_a_waiting_one() -> list[object]:
    """A child that would sleep for ever, and whether it is there after its block."""
    with ChildRpc(lambda _: signal.pause() or b"woken") as child:  # type: ignore[func-returns-value]
        child.send(b"?")
        early = child.answer(0.0)
    return [early, Path(f"/proc/{child.pid}").exists(), children()]


def test_a_child_that_does_not_answer_ends_with_its_block() -> None:
    assert in_fresh_process(leaves_a_waiting_one) == [None, False, 0]


def hung_up_on() -> list[object]:
    """A child whose parent is gone with an answer unread: its exit code, and what it says on stderr."""
    read, write = os.pipe()
    kept = os.dup(2)
    os.dup2(write, 2)
    child = ChildRpc(lambda _: b"answered")
    os.dup2(kept, 2)
    os.close(write)
    child.send(b"?")
    select.select([child._channel], [], [])
    child._channel.close()
    code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    return [code, os.read(read, 1000).decode()]


def test_a_child_whose_parent_is_gone_ends_without_a_word() -> None:
    assert in_fresh_process(hung_up_on) == [0, ""]


def raised_there(nested: bool) -> str:
    def respond(question: bytes) -> bytes:
        if nested:
            return attempt(lambda: respond_with_an_error(b""))
        return respond_with_an_error(question)

    try:
        with ChildRpc(respond) as child:
            return child.ask(b"?").decode()
    except CannotRunError as error:
        return str(error)


def respond_with_an_error(_: bytes) -> bytes:
    raise CannotRunError("no more of it; make some")


@pytest.mark.parametrize("nested", [False, True])
def test_what_the_environment_refuses_a_child_is_raised_where_it_was_asked(nested: bool) -> None:
    assert in_fresh_process(raised_there, nested) == "no more of it; make some"


def test_an_answer_may_be_of_any_bytes() -> None:
    assert in_fresh_process(echoed) == ["-", "+", "\0", ""]


def echoed() -> list[str]:
    with ChildRpc(lambda question: question.replace(b"nothing", b"")) as child:
        return [child.ask(question).decode() for question in (b"-", b"+", b"\0", b"nothing")]


def without_descriptors() -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))  # noqa: PTH208
    try:
        attempt(lambda: b"!")
    except CannotRunError as error:
        return str(error)
    return "answered"


def test_a_child_that_cannot_be_had_names_the_limits() -> None:
    told = in_fresh_process(without_descriptors)
    assert told == f"fork refused ({os.strerror(errno.EMFILE)}); raise the limits (ulimit -u, -n)"


def is_asleep(pid: int) -> bool:
    stat = process_stat(pid)
    return stat is not None and stat.state in ASLEEP


def stopped_beside(wait: str) -> str:
    """What ends a long wait for a child when a stop comes that does not end the call of the main thread (signal(7)).

    The kernel gives it to another thread, as if it came just before the call began.
    """

    def send() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        mine = os.getpid()
        wait_until(lambda: is_asleep(mine) and not sleeps_in(mine).startswith("futex"), "the main thread waits")
        signal.pthread_kill(get_ident(), signal.SIGTERM)

    with stop_on_sigterm(), ChildRpc(lambda question: signal.pause() or b"") as child:  # type: ignore[func-returns-value]
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        watched = Watched(child.pid)
        child.send(b"sleep")
        sender = Thread(target=send)
        sender.start()
        try:
            return str(child.answer(LONG_S) if wait == "answer" else watched.wait(LONG_S))
        except Terminated:
            return "stopped"
        finally:
            sender.join()
            watched.close()


@pytest.mark.parametrize("wait", ["answer", "end"])
def test_a_stop_that_does_not_end_the_call_ends_the_wait(wait: str) -> None:
    assert in_fresh_process(stopped_beside, wait) == "stopped"
