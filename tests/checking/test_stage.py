"""Programs on real processes: each call comes to what it should, and nobody is left."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from lab.checking.actors.actor import Actor
from lab.checking.actors.pool import ActorPool
from lab.checking.language import parse
from lab.memory import workspace
from tests.helpers import in_fresh_process


def performed(program: str, directory: str, mounts: int = 1) -> list[str]:
    """What each call came to; at the end nothing is left in the directory, and no child."""
    with workspace(Path(directory)) as folder:
        with ActorPool([folder] * mounts) as actor_pool:
            with actor_pool.stage() as stage:
                outcomes = [stage.perform(step.call) for step in parse(program)]
            assert not list(folder.iterdir())
        assert actor_pool.stuck == []
        assert not psutil.Process().children()
    return outcomes


PROGRAMS = {
    "a request that waits is seen to wait, and to return": """
        A: open f = ok
        B: open f = ok
        A: F_SETLK f write 0 10 = granted
        B: F_SETLKW f write 5 1 = waits
        B: waits = waits
        A: F_SETLK f unlock 0 5 = granted
        B: waits = waits
        A: F_SETLK f unlock 5 5 = granted
        B: returns = granted
        B: returns = does not wait
    """,
    "flock and open file description locks wait too": """
        A: open f = ok
        B: open f = ok
        C: open f = ok
        A: flock f exclusive = granted
        B: flock f shared wait = waits
        A: F_OFD_SETLK f write 0 1 = granted
        C: F_OFD_SETLKW f write 0 1 = waits
        A: close f = ok
        B: returns = granted
        C: returns = granted
    """,
    "the holder is told by its name": """
        A: open f = ok
        B: open f = ok
        A: F_SETLK f write 3 4 = granted
        B: F_GETLK f read 0 0 = write 3 4 by A
        A: F_SETLK f unlock 0 0 = granted
        A: F_OFD_SETLK f read 3 4 = granted
        B: F_GETLK f write 0 0 = read 3 4 by description
    """,
    "a signal ends a wait": """
        A: open f = ok
        B: open f = ok
        A: F_SETLK f write 0 10 = granted
        B: F_SETLKW f write 5 1 = waits
        B: interrupted = EINTR
        B: waits = does not wait
    """,
    "a child is another owner, and lives on when its maker dies": """
        A: open f = ok
        A: F_SETLK f write 0 10 = granted
        A: fork B = ok
        B: F_SETLKW f write 0 10 = waits
        A: killed = ok
        B: returns = granted
    """,
    "a clone shares the table": """
        A: open f = ok
        A: F_SETLK f write 0 10 = granted
        A: clone B = ok
        B: close f = ok
        A: F_SETLK f write 0 10 = EBADF
    """,
    "an image after execve has what is not close-on-exec": """
        A: open f = ok
        A: open g rw cloexec = ok
        A: F_SETLK f write 0 1 = granted
        A: exec = ok
        A: F_SETLK f write 0 1 = granted
        A: F_SETLK g write 0 1 = EBADF
        B: open f = ok
        B: F_GETLK f write 0 1 = write 0 1 by A
    """,
    "a thread is the same owner": """
        A: open f = ok
        A: F_SETLK f write 0 1 = granted
        A: thread F_SETLK f write 0 1 = granted
        A: thread F_SETLK g write 0 1 = EBADF
    """,
    "a mapping beyond the end of the file kills": """
        A: open f = ok
        A: truncate f 4096 = ok
        A: map f 4096 = ok
        A: store f 0 hello = ok
        A: load f 0 6 = hello.
        A: read f 0 5 = hello
        B: open f = ok
        B: truncate f 0 = ok
        A: load f 0 1 = SIGBUS
    """,
    "a private mapping has copies of the pages that it stores to": """
        A: open f = ok
        A: truncate f 8192 = ok
        A: map f 8192 private = ok
        A: store f 0 ab = ok
        B: open f = ok
        B: map f 8192 = ok
        B: load f 0 2 = ..
        B: store f 0 cd = ok
        B: store f 4096 cd = ok
        A: load f 0 2 = ab
        A: load f 4096 2 = cd
        A: read f 0 2 = cd
        A: open f as g r = ok
        A: map g 1 = EACCES
        A: map g 1 private = ok
    """,
    "limits are met": """
        A: open f = ok
        A: limit files 1 = ok
        A: open g = ok
        A: open h = EMFILE
        A: limit size 100 = ok
        A: write f 0 text = ok
        A: write f 98 text = ENOSPC
        A: write f 100 text = EFBIG
    """,
    "a stopped holder goes on": """
        A: open f = ok
        A: F_SETLK f write 0 1 = granted
        A: stopped = ok
        B: open f = ok
        B: F_SETLK f write 0 1 = EAGAIN
        A: continued = ok
        A: F_SETLK f unlock 0 1 = granted
    """,
    "a name that was removed is a new file": """
        A: open f = ok
        A: F_SETLK f write 0 1 = granted
        B: unlink f = ok
        B: open f = ok
        B: F_SETLK f write 0 1 = granted
    """,
    "the kernel lists a lock": """
        A: open f = ok
        A: F_SETLK f write 0 1 = granted
        A: F_SETLK f write 5 1 = granted
        A: listed f = 2
    """,
    "a descriptor is duplicated, moved and read only": """
        A: open f r = ok
        A: F_SETLK f write 0 1 = EBADF
        A: dup f as g = ok
        A: seek g 5 = ok
        A: F_SETLK f read 0 1 cur = granted
        B: open f = ok
        B: F_GETLK f write 0 0 = read 5 1 by A
        A: exit = ok
        B: F_GETLK f write 0 0 = free
    """,
}


@pytest.mark.parametrize("about", PROGRAMS)
def test_calls_come_to_what_they_should_where(about: str, tmp_path: Path) -> None:
    program = PROGRAMS[about]
    expected = [" | ".join(step.expected) for step in parse(program)]
    assert in_fresh_process(performed, program, str(tmp_path)) == expected


def placed(directory: str) -> list[int]:
    """The mounts on which four actors find themselves, the third of them a child of the second."""
    with workspace(Path(directory)) as folder, ActorPool([folder, folder]) as actor_pool, actor_pool.stage() as stage:
        for step in parse("A: open f\nB: open f\nB: fork C\nD: open f"):
            stage.perform(step.call)
        return [stage.folder_of(actor) for actor in "ABCD"]


def test_actors_are_on_the_mounts_by_turns_and_a_child_where_its_parent_is(tmp_path: Path) -> None:
    assert in_fresh_process(placed, str(tmp_path)) == [0, 1, 1, 0]


def kept(directory: str) -> list[bool]:
    """Whether an actor lives on: one with nothing peculiar, one that forked, one that was limited, one that waits."""
    again = []
    with workspace(Path(directory)) as folder, ActorPool([folder]) as actor_pool:
        for program in (
            "A: open f",
            "A: open f\nA: fork B",
            "A: open f\nA: limit files 9",
            "A: open f\nB: open f\nB: flock f exclusive\nA: flock f exclusive wait",
        ):
            with actor_pool.stage() as stage:
                for step in parse(program):
                    stage.perform(step.call)
                pid = stage.pid_of("A")
            again.append(Path(f"/proc/{pid}").exists())
    return again


def test_only_an_actor_with_nothing_peculiar_is_kept_for_the_next_program(tmp_path: Path) -> None:
    assert in_fresh_process(kept, str(tmp_path)) == [True, True, False, False]


def disturbed_while_slow(directory: str) -> list[str]:
    """Who is woken by an unlock, where an actor that was woken sleeps once more before it answers."""
    answer = Actor._answer

    def late(actor: Actor, command: list[str], handed: list[int]) -> str:
        answered = answer(actor, command, handed)
        time.sleep(0.03 if command[0] == "F_SETLKW" else 0)
        return answered

    Actor._answer = late  # type: ignore[assignment]
    program = "A: open f; B: open f; C: open f; A: F_SETLK f write 0 1; A: F_SETLK f write 1 1; "
    program += "B: F_SETLKW f write 0 1; C: F_SETLKW f write 1 1; A: F_SETLK f unlock 0 1"
    with workspace(Path(directory)) as folder, ActorPool([folder]) as actor_pool, actor_pool.stage() as stage:
        for step in parse(program):
            stage.perform(step.call)
        return stage.disturbed(["B", "C"])


def test_a_waiter_that_was_woken_is_not_asleep_in_its_call_while_it_sleeps_elsewhere(tmp_path: Path) -> None:
    assert in_fresh_process(disturbed_while_slow, str(tmp_path)) == ["B"]
