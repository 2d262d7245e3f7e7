from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

import pytest

from lab.processes import Child, Terminated, detach_output, die, fork_child, private_bytes, stop_on_sigterm, stops_noted
from tests.helpers import PATIENCE_S, OtherProcess, in_fresh_process, is_running, wait_until


def nothing() -> None:
    pass


def hang() -> None:
    while True:
        time.sleep(60)


def raises() -> None:
    raise ValueError("in the child")


def exits_with_5() -> None:
    sys.exit(5)


def die_in_a_block() -> None:
    try:
        die()
    finally:
        os._exit(3)


def end_of(name: str) -> list[object]:
    """The exit code of a child that runs the function of this name, and the last line on its stderr."""
    body: Callable[[], None] = globals()[name]
    with TemporaryFile() as stderr:

        def told() -> None:
            os.dup2(stderr.fileno(), 2)
            body()

        code = Child(fork_child(told)).wait()
        stderr.seek(0)
        return [code, stderr.read().decode().strip().rpartition("\n")[2]]


def others_beyond_the_call(interrupt: bool) -> list[int]:
    """Which processes but this one come back from `fork_child`, also where Ctrl-C reaches one just after its fork."""
    reader, writer = os.pipe()
    fork = os.fork

    def fork_into_sigint() -> int:
        pid = fork()
        if not pid:
            signal.raise_signal(signal.SIGINT)
        return pid

    with pytest.MonkeyPatch.context() as patch:
        if interrupt:
            patch.setattr(os, "fork", fork_into_sigint)
        pid = fork_child(nothing)
    os.write(writer, f"{os.getpid()} ".encode())
    os.close(writer)
    if pid:
        os.waitpid(pid, 0)
    return [int(each) for each in os.read(reader, 1000).split() if int(each) != os.getpid()]


def groups(joins: str) -> dict[str, bool]:
    """The groups of three children, where only the parent or only the child gets round to joining them."""
    setpgid, parent = os.setpgid, os.getpid()

    def setpgid_by_one(pid: int, group: int) -> None:
        if (os.getpid() == parent) is (joins == "parent"):
            setpgid(pid, group)

    reader, writer = os.pipe()

    def body() -> None:
        os.write(writer, b".")
        hang()

    def fork_and_join(group: int | None) -> int:
        pid = fork_child(body, group=group)
        if joins == "child":
            os.read(reader, 1)
        return pid

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "setpgid", setpgid_by_one)
        leader = fork_and_join(0)
        member = fork_and_join(leader)
        same = fork_and_join(None)
    found = {
        "leader": os.getpgid(leader) == leader,
        "member": os.getpgid(member) == leader,
        "same": os.getpgid(same) == os.getpgrp(),
    }
    for pid in (leader, member, same):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return found


def exit_after(number: int) -> int:
    """The exit code of a child that gets this signal, where the parent handles it."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    reader, writer = os.pipe()

    def body() -> None:
        os.write(writer, b".")
        hang()

    with stop_on_sigterm():
        child = Child(fork_child(body))
        os.read(reader, 1)
        os.kill(child.pid, number)
        code = child.wait()
    signal.signal(signal.SIGINT, before)
    return code


def hanging_grandchild() -> list[int]:
    reader, writer = os.pipe()

    def body() -> None:
        os.write(writer, str(fork_child(hang)).encode())
        hang()

    return [fork_child(body), int(os.read(reader, 100))]


def ran_without_parent() -> list[int]:
    """What a child does whose parent died before the child could ask for its parent's death signal."""
    memory = mmap.mmap(-1, 1)

    def body() -> None:
        memory[0] = 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getppid", lambda: 1)
        return [Child(fork_child(body)).wait(), memory[0]]


def terminated() -> list[str]:
    said = []
    before = signal.getsignal(signal.SIGTERM)
    try:
        with stop_on_sigterm():
            os.kill(os.getpid(), signal.SIGTERM)
            said.append("still here")
    except Terminated:
        said.append("Terminated")
    if signal.getsignal(signal.SIGTERM) == before:
        said.append("handler restored")
    return said


def blocked_signals() -> list[list[int]]:
    """What is blocked in the child, and in the parent after the fork."""
    reader, writer = os.pipe()

    def body() -> None:
        for number in mask():
            os.write(writer, b"%d " % number)

    pid = fork_child(body)
    os.close(writer)
    os.waitpid(pid, 0)
    return [[int(number) for number in os.read(reader, 100).split()], mask()]


def mask() -> list[int]:
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def blocked_after_an_interrupt_at_the_fork() -> list[int]:
    """Ctrl-C comes just before the stops are held: the call that holds them blocks them, and then raises."""
    sigmask = signal.pthread_sigmask

    def block_and_raise(how: int, mask: Iterable[int]) -> set[int | signal.Signals]:
        before = sigmask(how, mask)
        if how == signal.SIG_BLOCK and mask:
            raise KeyboardInterrupt
        return before

    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(signal, "pthread_sigmask", block_and_raise)
        fork_child(nothing)
    left = mask()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return left


def private_growth(size: int) -> int:
    before = private_bytes()
    kept = b"\x01" * size
    return private_bytes() - before if kept else 0


def refused() -> str:
    def fork() -> NoReturn:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fork", fork)
        try:
            return f"forked {fork_child(nothing)}"
        except OSError as error:
            return type(error).__name__


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("nothing", 0, ""),
        ("raises", 1, "ValueError: in the child"),
        ("exits_with_5", 5, ""),
        ("die_in_a_block", -signal.SIGKILL, ""),
    ],
)
def test_a_childs_exit_says_how_its_body_ended_and_its_stderr_why(body: str, code: int, said: str) -> None:
    assert in_fresh_process(end_of, body) == [code, said]


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_child_never_returns_into_its_caller(interrupt: bool) -> None:
    assert in_fresh_process(others_beyond_the_call, interrupt) == []


def test_forking_leaves_no_signal_blocked_in_parent_or_child() -> None:
    assert in_fresh_process(blocked_signals) == [[], []]


def test_an_interrupt_just_before_the_fork_leaves_no_signal_blocked() -> None:
    assert in_fresh_process(blocked_after_an_interrupt_at_the_fork) == []


@pytest.mark.parametrize("joins", ["parent", "child"])
def test_a_child_is_in_its_group_before_it_begins_and_when_the_fork_returns(joins: str) -> None:
    assert in_fresh_process(groups, joins) == {"leader": True, "member": True, "same": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_the_parent_handles_ends_the_child(number: signal.Signals) -> None:
    assert in_fresh_process(exit_after, int(number)) == -number


def test_a_child_and_its_child_end_when_the_first_parent_is_killed() -> None:
    with OtherProcess() as other:
        pids = other.call(hanging_grandchild)
        assert all(map(is_running, pids))
        other.kill()
    wait_until(lambda: not any(map(is_running, pids)), "both are gone")


def test_a_child_whose_parent_is_gone_already_does_not_begin() -> None:
    assert in_fresh_process(ran_without_parent) == [1, 0]


def test_sigterm_raises_in_the_block_and_has_its_old_handler_after_it() -> None:
    assert in_fresh_process(terminated) == ["Terminated", "handler restored"]


def test_terminated_is_not_caught_by_those_who_catch_exceptions() -> None:
    assert not issubclass(Terminated, Exception)


def test_private_bytes_grow_with_what_is_written() -> None:
    size = 8 << 20
    assert size <= in_fresh_process(private_growth, size) < 2 * size


def test_a_refused_fork_raises_in_the_parent() -> None:
    assert in_fresh_process(refused) == "BlockingIOError"


DETACHED = """
import os
from lab.processes import detach_output
keeps = os.fork()
if not keeps:
    detach_output()
    os.write(1, b"said by who detached")
    os.write(2, b"said by who detached")
    os.read({lasts}, 1)
    os._exit(0)
print(keeps)
"""


def test_who_reads_the_output_to_its_end_is_not_kept_waiting_by_a_detached_child() -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-c", DETACHED.format(lasts=reader)]
    with os.fdopen(writer, "wb"):  # the child lives until this is closed
        done = subprocess.run(
            command, pass_fds=[reader], capture_output=True, text=True, timeout=PATIENCE_S / 4, check=True
        )
        os.close(reader)
        assert is_running(int(done.stdout))
        assert done.stderr == ""
    wait_until(lambda: not is_running(int(done.stdout)), "the child is gone")


def streams_of_a_detached_child(closes_stdin: bool) -> list[str]:
    """Where the standard streams lead, and how many descriptors more are open than before."""
    reader, writer = os.pipe()
    opened = Path("/proc/self/fd")

    def body() -> None:
        before = len(list(opened.iterdir()))
        if closes_stdin:
            os.close(0)
        detach_output()
        more = len(list(opened.iterdir())) - before
        os.write(writer, " ".join([*(str((opened / str(n)).readlink()) for n in range(3)), str(more)]).encode())

    Child(fork_child(body)).wait()
    return os.read(reader, 1000).decode().split()


@pytest.mark.parametrize("closes_stdin", [False, True])
def test_a_detached_child_has_null_for_its_streams_and_nothing_more_open(closes_stdin: bool) -> None:
    assert in_fresh_process(streams_of_a_detached_child, closes_stdin) == [os.devnull] * 3 + ["0"]


def noted_and_raised(number: int) -> list[object]:
    """What a block notes of a signal, if any, whose exception it would have swallowed, and what comes at its end."""
    seen: list[object] = []
    try:
        with stop_on_sigterm(), stops_noted() as noted:
            with suppress(BaseException):
                if number:
                    signal.raise_signal(number)
            seen.append(list(noted))
    except (KeyboardInterrupt, Terminated) as stop:
        seen.append(type(stop).__name__)
    return [*seen, signal.getsignal(signal.SIGINT) is signal.default_int_handler]


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (signal.SIGINT, [[signal.SIGINT], "KeyboardInterrupt"]),
        (signal.SIGTERM, [[signal.SIGTERM], "Terminated"]),
        (signal.SIGHUP, [[signal.SIGHUP], "Terminated"]),
        (0, [[]]),
    ],
)
def test_a_stop_that_is_noted_raises_at_the_end_of_the_block(number: int, what: list[object]) -> None:
    assert in_fresh_process(noted_and_raised, number) == [*what, True]
