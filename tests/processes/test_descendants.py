from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.processes import Descendants, GroupReaper, descendants, fork_child
from lab.processes.descendants import kill_tree, living_descendants
from tests.helpers import in_fresh_process, is_running, wait_until


def sleep() -> None:
    time.sleep(600)


def program() -> None:
    os.execvp("sleep", ["sleep", "600"])  # noqa: S606, S607 - any program will do


def in_a_session(end: Callable[[], None]) -> Callable[[], None]:
    """The body of a process that leaves its group and session first."""

    def body() -> None:
        os.setsid()
        end()

    return body


def in_a_session_of_its_own() -> None:
    in_a_session(sleep)()


def forked_twice() -> None:
    """As daemon(3) does."""
    os.setsid()
    if os.fork():
        os._exit(0)
    sleep()


BODIES = {body.__name__: body for body in (sleep, program, in_a_session_of_its_own, forked_twice)}


def what_a_child_left(name: str) -> dict[str, Any]:
    """A child forks this body and ends; what was found of it, and what is left of it."""

    def child() -> None:
        made = os.fork()
        if not made:
            try:
                BODIES[name]()
            finally:
                os._exit(1)

    with Descendants() as ours:
        os.waitpid(fork_child(child), 0)
        found = ours.end(grace_s=0.05)
        again = ours.end()
    return {
        "commands": [each.command for each in found],
        "ended": [each.ended for each in found],
        "running": [each.pid for each in found if is_running(each.pid)],
        "again": len(again),
        "children": has_children(),
    }


def has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@pytest.mark.parametrize("name", BODIES)
def test_what_a_child_leaves_behind_is_told_and_ended(name: str) -> None:
    command = "sleep 600" if name == "program" else descendants.FORK
    expected = {"commands": [command], "ended": [True], "running": [], "again": 0, "children": False}
    assert in_fresh_process(what_a_child_left, name) == expected


def what_ends_by_itself() -> int:
    """How many are told of a process that ends when a pipe closes, as a helper of its parent does."""
    reader, writer = os.pipe()

    def child() -> None:
        if not os.fork():
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)

    with Descendants() as ours:
        os.waitpid(fork_child(child), 0)
        os.close(writer)
        return len(ours.end(grace_s=60))


def test_what_ends_by_itself_in_the_grace_is_not_told() -> None:
    assert in_fresh_process(what_ends_by_itself) == 0


def those_of_before() -> list[bool]:
    """Whether a child from before the block, and one that is spared, live on after it."""
    before = fork_child(sleep)
    with Descendants() as ours:
        spared = fork_child(sleep)
        ours.end(but=[spared])
    return [is_running(before), is_running(spared)]


def test_children_of_before_and_those_that_are_spared_live_on() -> None:
    assert in_fresh_process(those_of_before) == [True, True]


def reaper_beside_an_orphan() -> list[int]:
    """How many are told of one that a child left behind while a reaper is there, which then ends well."""

    def child() -> None:
        if not os.fork():
            sleep()

    with GroupReaper(), Descendants() as ours:
        os.waitpid(fork_child(child), 0)
        return [len(ours.end(grace_s=0))]


def test_a_reaper_is_not_taken_for_what_a_child_left() -> None:
    assert in_fresh_process(reaper_beside_an_orphan) == [1]


def one_that_sigkill_does_not_end() -> list[Any]:
    """What is told the first and the second time of a process that takes no signal."""

    def child() -> None:
        if not os.fork():
            sleep()

    kill = os.kill
    os.kill = lambda pid, number: None
    descendants.KILL_GRACE_S = 0.05
    with Descendants() as ours:
        os.waitpid(fork_child(child), 0)
        (stuck,) = ours.end(grace_s=0)
        again = ours.end(grace_s=0)
        os.kill = kill
    kill(stuck.pid, 9)
    os.waitpid(stuck.pid, 0)
    return [stuck.ended, f"{descendants.FORK} (process {stuck.pid}), which does not" in str(stuck), again]


def test_one_that_does_not_end_on_sigkill_is_named_once() -> None:
    assert in_fresh_process(one_that_sigkill_does_not_end) == [False, True, []]


def a_family(generations: int) -> None:
    """A process that has a child in a session of its own, which has another, and so on; the last ones sleep."""
    if generations and not os.fork():
        try:
            os.setsid()
            a_family(generations - 1)
        finally:
            os._exit(1)
    sleep()


def what_is_left_of_a_family() -> list[Any]:
    """How many there were, what was found alive after the eldest was killed as a tree, and what is alive then."""
    with Descendants() as ours:
        eldest = fork_child(lambda: a_family(3))
        wait_until(lambda: len(living_descendants(eldest)) == 3, "all are there")
        others = living_descendants(eldest)
        kill_tree(eldest)
        os.waitpid(eldest, 0)
        found = ours.end(grace_s=1.0)
    return [len(others), [str(each) for each in found], [pid for pid in others if is_running(pid)]]


def test_a_tree_is_killed_with_all_that_descend_from_it() -> None:
    assert in_fresh_process(what_is_left_of_a_family) == [3, [], []]
