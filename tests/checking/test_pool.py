"""The actors from one program to the next: who is used again, what is removed, and what happens to those who hang."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import Signals
from typing import Any

import psutil
import pytest

from lab.checking.actors import actor, controller
from lab.checking.actors.controller import Handle
from lab.checking.actors.pool import ActorPool
from lab.checking.actors.stage import RealStage
from lab.checking.language import parse
from lab.errors import CannotRunError
from tests.helpers import in_fresh_process

WAITING = "A: open f; B: open f; A: flock f exclusive; B: flock f exclusive wait = waits"
UNHEARD = "A: open f; B: open f; B: stopped; B: seek f 5 = no answer"
"""With `B: continued` the answer comes, and is the one that is expected of an actor who forgets."""

REFUSED = "raise the limit (ulimit -u, or the container's limit of pids)"


def perform(stage: RealStage, program: str) -> list[str]:
    return [stage.perform(step.call, step.expected) for step in parse(program)]


def children() -> list[int]:
    return sorted(child.pid for child in psutil.Process().children())


def left(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


# Used again


def pids_of_two_programs(folder: str, first: str, mounts: int = 1) -> list[list[int]]:
    """The actors A and B of a program, and those of a second one."""
    found = []
    with ActorPool([Path(folder)] * mounts) as actor_pool:
        for program in (first, "A: open f; B: open f"):
            with actor_pool.stage() as stage:
                perform(stage, program)
                found.append([stage.pid_of("A"), stage.pid_of("B")])
    return [*found, children()]


def test_those_with_nothing_peculiar_are_used_again(tmp_path: Path) -> None:
    first, second, after = in_fresh_process(pids_of_two_programs, str(tmp_path), "A: open f; B: open f; A: seek f 5")
    assert (sorted(second), after) == (sorted(first), [])


@pytest.mark.parametrize(
    "program",
    [WAITING, f"{WAITING}; B: stopped", UNHEARD, f"{UNHEARD}; B: continued", "A: fork B"],
)
def test_who_has_a_call_that_is_not_answered_or_a_parent_among_the_actors_is_not(program: str, tmp_path: Path) -> None:
    first, second, after = in_fresh_process(pids_of_two_programs, str(tmp_path), program)
    assert (first[0] in second, first[1] in second, after) == (True, False, [])


def test_an_actor_is_used_again_on_its_own_mount(tmp_path: Path) -> None:
    first, second, after = in_fresh_process(pids_of_two_programs, str(tmp_path), "A: open f; B: open f", 2)
    assert (second, after) == (first, [])


def descriptors_of_a_second_program(folder: str) -> list[str]:
    with ActorPool([Path(folder)]) as actor_pool:
        with actor_pool.stage() as stage:
            perform(stage, "A: open f; A: dup f as g; A: truncate f 10; A: map f 10")
            pid = stage.pid_of("A")
        with actor_pool.stage() as stage:
            told = perform(stage, "A: open h; A: seek f 0; A: seek g 0; A: load f 0 1")
            assert stage.pid_of("A") == pid
    return told


def test_who_is_used_again_has_nothing_left_of_the_program_before(tmp_path: Path) -> None:
    told = in_fresh_process(descriptors_of_a_second_program, str(tmp_path))
    assert told == ["ok", "EBADF", "EBADF", "raised KeyError: 'f'"]


def pids_around_a_rest(folder: str) -> list[list[int]]:
    """The children before a rest, after it, and after the next program."""
    with ActorPool([Path(folder)]) as actor_pool:
        found = []
        for _ in range(2):
            with actor_pool.stage() as stage:
                perform(stage, "A: open f; B: open f")
            found.append(children())
            actor_pool.rest()
            found.append(children())
    return found


def test_a_rest_ends_all_of_them_and_others_come_for_the_next_program(tmp_path: Path) -> None:
    first, none, second, none_again = in_fresh_process(pids_around_a_rest, str(tmp_path))
    assert (len(first), none, len(second), none_again) == (2, [], 2, [])
    assert not set(first) & set(second)


# What is removed


def files_by_and_by(folder: str, program: str) -> list[list[str]]:
    """The files there are at the end of a program and after it, and one that is not the program's."""
    Path(folder, "theirs").touch()
    with ActorPool([Path(folder)]) as actor_pool:
        with actor_pool.stage() as stage:
            perform(stage, program)
            during = left(folder)
        return [during, left(folder)]


@pytest.mark.parametrize(
    ("program", "count"),
    [
        ("A: open f; A: open g; B: open f", 2),
        ("A: open f; A: open g; B: unlink f", 1),
        (WAITING, 1),
        ("A: open f; A: exit", 1),
        ("A: open f; A: fork B; A: killed", 1),
    ],
)
def test_the_files_of_a_program_go_with_it_and_no_others(program: str, count: int, tmp_path: Path) -> None:
    during, after = in_fresh_process(files_by_and_by, str(tmp_path), program)
    assert (len(during), after) == (1 + count, ["theirs"])


def test_each_program_has_files_of_its_own(tmp_path: Path) -> None:
    assert in_fresh_process(names_of_two_stages, str(tmp_path)) == 2


def names_of_two_stages(folder: str) -> int:
    """How many names the same file has in two programs."""
    names: set[str] = set()
    with ActorPool([Path(folder)]) as actor_pool:
        for _ in range(2):
            with actor_pool.stage() as stage:
                perform(stage, "A: open f")
                names |= stage.names
    return len(names)


# Those who hang


def with_one_stuck(folder: str) -> dict[str, object]:
    """A waits for B, who is said to live on after SIGKILL; what is left once both programs are over."""
    with ActorPool([Path(folder)]) as actor_pool:
        with actor_pool.stage() as stage:
            perform(stage, f"{WAITING}; A: stopped")
            stuck = stage.pid_of("B")
            hang(stage.handles, stuck)
        after_first = left(folder)
        with actor_pool.stage() as stage:
            perform(stage, "A: open g")
            used_again = stuck in {each.process.pid for each in stage.handles}
    os.waitpid(stuck, 0)
    return {
        "after_first": len(after_first),
        "after_both": left(folder) == after_first,
        "stuck": [[each.pid == stuck, bool(each.where)] for each in actor_pool.stuck],
        "used_again": used_again,
        "children": children(),
    }


def hang(handles: Sequence[Handle], pid: int) -> None:
    """Let this one be as a process is that is stuck in the kernel: nobody can wait for its end."""
    [one] = [each for each in handles if each.process.pid == pid]
    vars(one.process).update(wait=lambda _: None)


def test_where_somebody_is_stuck_his_files_stay_and_he_is_told_once(tmp_path: Path) -> None:
    assert in_fresh_process(with_one_stuck, str(tmp_path)) == {
        "after_first": 1,
        "after_both": True,
        "stuck": [[True, True]],
        "used_again": False,
        "children": [],
    }


# Interrupted


def interrupted(folder: str, program: str) -> list[object]:
    """What is left when Ctrl-C ends a program after these calls."""
    try:
        with ActorPool([Path(folder)]) as actor_pool, actor_pool.stage() as stage:
            perform(stage, program)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return [left(folder), children(), list(map(str, actor_pool.stuck))]


@pytest.mark.parametrize("program", ["A: open f", WAITING, "A: open f; A: fork B; A: stopped", "A: open f; A: clone B"])
def test_a_program_that_is_interrupted_leaves_neither_files_nor_processes(program: str, tmp_path: Path) -> None:
    assert in_fresh_process(interrupted, str(tmp_path), program) == [[], [], []]


def interrupted_between_programs(folder: str) -> list[object]:
    try:
        with ActorPool([Path(folder)]) as actor_pool:
            with actor_pool.stage() as stage:
                perform(stage, WAITING)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return [left(folder), children(), signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()]


def test_an_interrupt_between_programs_ends_those_who_were_kept(tmp_path: Path) -> None:
    assert in_fresh_process(interrupted_between_programs, str(tmp_path)) == [[], [], True]


def interrupted_at_a_fork(folder: str, number: int) -> list[object]:
    """The signal comes while an actor is made, and is held until there is one."""
    real = vars(controller)["fork_child"]

    def fork_child(body: Callable[[], None], **how: Any) -> int:
        pid: int = real(body, **how)
        os.kill(os.getpid(), number)
        return pid

    vars(controller).update(fork_child=fork_child)
    signal.signal(number, signal.default_int_handler)
    return interrupted(folder, "A: open f")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_actor_who_is_made_when_the_interrupt_comes_is_not_lost(number: Signals, tmp_path: Path) -> None:
    assert in_fresh_process(interrupted_at_a_fork, str(tmp_path), int(number)) == [[], [], []]


# Fork refused


def refuse(*_: object, **__: object) -> int:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def fork_refused(folder: str, module: str, program: str) -> list[object]:
    """What ends a program where new actors, or the children of actors, are refused; and what is left."""
    if module == "handle":
        vars(controller).update(fork_child=refuse)
    else:
        vars(actor).update(fork_sibling=refuse)
    try:
        with ActorPool([Path(folder)]) as actor_pool, actor_pool.stage() as stage:
            perform(stage, program)
    except CannotRunError as error:
        return [str(error), left(folder), children()]
    return []


def test_an_actor_who_cannot_be_made_ends_it(tmp_path: Path) -> None:
    said, *after = in_fresh_process(fork_refused, str(tmp_path), "handle", "A: open f")
    assert said.endswith(f"(Resource temporarily unavailable); {REFUSED}")
    assert after == [[], []]


@pytest.mark.parametrize("verb", ["fork", "clone"])
def test_an_actor_who_cannot_fork_ends_it(verb: str, tmp_path: Path) -> None:
    program = f"A: open f; A: {verb} B"
    said, *after = in_fresh_process(fork_refused, str(tmp_path), "actor", program)
    assert said.endswith(f"(EAGAIN); {REFUSED}")
    assert after == [[], []]
