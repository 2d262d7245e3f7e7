"""Tell why a lock fails anyway: the counterexamples of the gallery as stories, in which every answer is a real one.

Three are the explorer's shortest failure. The others are about processes and files, which are not simulated: they are
programs in the language of `lab.checking`, performed on the model of the kernel, which the tests compare with the real
one. A note on a call follows #; at the call where the failure begins it follows #!. The counter is one byte, a digit; a
value is read with `load` and written with `store`, through a mapping of the file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from lab.checking.language import parse
from lab.checking.oracle import ModelStage
from lab.exploring.case import Case
from lab.exploring.run import explore
from lab.gallery import counterexample_names
from lab.records import Account, ExploredCase, ExploreOptions, Step, Story, StoryCall
from lab.scenario import Found, find_scenarios

ACTORS = {
    "A": "process A",
    "A thread": "A, second thread",
    "B": "process B",
    "C": "C, a child of A",
    "D": "process D",
}


class Line(NamedTuple):
    """One call with its answer, a note on it, and whether the failure begins there."""

    call: str
    note: str
    wrong: bool


def lines_of(program: str) -> list[Line]:
    """Return the lines of a program that hold a call."""
    lines = (line.partition("#") for line in program.splitlines() if line.strip())
    return [Line(call.strip(), note.removeprefix("!").strip(), note.startswith("!")) for call, _, note in lines]


BROKEN = {
    "closed_descriptor": """
        A: open f
        A: write f 0 0                # the counter stands at 0
        A: map f 1
        B: open f
        B: map f 1
        A: F_SETLK f write 0 1
        A: load f 0 1 = 0
        B: F_SETLKW f write 0 1 = waits     # the lock works: B is kept out
        A: open f as g r              # a library of A's wants to know the size of the file
        A: close g                    #! it closes only what it opened itself, and A's lock is gone
        B: returns = granted          # B is granted it, while A believes that it holds the lock
        B: load f 0 1 = 0
        B: store f 0 1
        B: F_SETLK f unlock 0 1
        A: store f 0 1                # over B's: A had loaded 0 before
        A: F_SETLK f unlock 0 1       # A gives up a lock that it no longer has, and is told nothing
        A: load f 0 1 = 1             # two additions, and the counter stands at 1
    """,
    "threads": """
        A: open f
        A: write f 0 0                # the counter stands at 0
        A: map f 1
        A: F_SETLK f write 0 1        # the first thread takes the lock
        A: load f 0 1 = 0
        A: thread F_SETLK f write 0 1 = granted     #! and so does the second: the owner is the process, not the thread
        A: thread load f 0 1 = 0
        A: thread store f 0 1
        A: thread F_SETLK f unlock 0 1     # this gives up the lock of both
        A: store f 0 1                # over the other thread's
        A: F_SETLK f unlock 0 1
        A: load f 0 1 = 1             # two additions, and the counter stands at 1
    """,
    "forked_holder": """
        A: open f
        A: write f 0 0                # the counter stands at 0
        A: F_SETLK f write 0 1        # A takes the lock
        A: fork C                     # and has a child do the work
        C: map f 1
        C: F_GETLK f write 0 1 = write 0 1 by A     # the child has not inherited the lock: it is A's, and in its way
        C: load f 0 1 = 0
        A: F_SETLK f unlock 0 1       #! A leaves its critical section, while its child is still in the middle of it
        B: open f
        B: map f 1
        B: F_SETLK f write 0 1 = granted     # B is granted it, and rightly so
        B: load f 0 1 = 0
        B: store f 0 1
        B: F_SETLK f unlock 0 1
        C: store f 0 1                # over B's
        B: load f 0 1 = 1             # two additions, and the counter stands at 1
    """,
    "replaced_file": """
        A: open f
        A: write f 0 0                # version 0 of the file
        B: open f                     # B opens the same file
        A: F_SETLK f write 0 1
        B: F_SETLKW f write 0 1 = waits     # the lock works: B is kept out
        A: read f 0 1 = 0
        A: unlink f                   #! A saves as editors do: the name goes to a new file, as with a rename
        A: open f as new
        A: write new 0 1              # version 1, in the new file
        A: F_SETLK f unlock 0 1
        B: returns = granted          # the lock that B waited for, on a file that has no name any more
        D: open f                     # D comes later, and opens what has the name now
        D: F_SETLK f write 0 1 = granted     # two holders of "the lock on f", on two files
        D: read f 0 1 = 1
        B: read f 0 1 = 0             # B reads the old version
        D: write f 0 2                # version 2
        B: unlink f                   # and B's version takes its place
        B: open f as new
        B: write new 0 1
        A: open f as now
        A: read now 0 1 = 1           # three versions, each 1 more than the one it read, and the file says 1
    """,
    "private_mapping": """
        A: open f
        A: write f 0 0                # the counter stands at 0
        A: map f 1 private
        B: open f
        B: map f 1 private
        A: F_SETLK f write 0 1
        A: load f 0 1 = 0
        A: store f 0 1                #! the first store copies the page: A adds 1 to a copy that only A has
        A: load f 0 1 = 1             # A sees what it expects to see
        A: F_SETLK f unlock 0 1
        B: F_SETLK f write 0 1 = granted     # the lock does what it should: B comes after A
        B: load f 0 1 = 0             # and finds nothing of what A did
        B: store f 0 1                # into a copy of its own
        B: F_SETLK f unlock 0 1
        A: read f 0 1 = 0             # two additions, and the file still says 0
    """,
    "killed_holder": """
        A: open f
        A: write f 0 00               # left 0, right 0: an update adds 1 to each
        A: map f 2
        A: F_SETLK f write 0 2
        A: store f 0 1                # left is 1
        B: open f
        B: map f 2
        B: F_SETLKW f write 0 2 = waits     # the lock works: B is kept out
        A: killed                     #! SIGKILL between the two halves: nothing of A's runs any more
        B: returns = granted          # the kernel frees the lock of the dead: B is granted it
        B: load f 0 2 = 10            # left 1, right 0: half an update, and nothing that says so
        B: store f 0 2
        B: store f 1 1
        B: F_SETLK f unlock 0 2
        B: load f 0 2 = 21            # B's update is whole; the half is there to stay
    """,
}
"""The programs that fail, by the counterexample's name."""

FIXED = {
    "closed_descriptor": """
        A: open f
        A: write f 0 0
        A: map f 1
        B: open f
        B: map f 1
        A: F_OFD_SETLK f write 0 1    # a lock of the open file, not of the process
        A: load f 0 1 = 0
        B: F_OFD_SETLKW f write 0 1 = waits
        A: open f as g r
        A: close g                    # closes another open file: the lock stays
        B: waits = waits
        A: store f 0 1
        A: F_OFD_SETLK f unlock 0 1
        B: returns = granted
        B: load f 0 1 = 1
        B: store f 0 2
        B: F_OFD_SETLK f unlock 0 1
        A: load f 0 1 = 2             # both additions count
    """,
    "threads": """
        A: open f
        A: open f as g                # an open file for each thread
        A: write f 0 0
        A: map f 1
        A: F_OFD_SETLK f write 0 1    # a lock of the open file, not of the process
        A: load f 0 1 = 0
        A: thread F_OFD_SETLK g write 0 1 = EAGAIN     # the second thread is kept out
        A: store f 0 1
        A: F_OFD_SETLK f unlock 0 1
        A: thread F_OFD_SETLK g write 0 1 = granted
        A: thread load f 0 1 = 1
        A: thread store f 0 2
        A: thread F_OFD_SETLK g unlock 0 1
        A: load f 0 1 = 2             # both additions count
    """,
    "forked_holder": """
        A: open f
        A: write f 0 0
        A: fork C
        C: map f 1
        C: F_SETLK f write 0 1        # who works takes the lock, for as long as it works
        C: load f 0 1 = 0
        B: open f
        B: map f 1
        B: F_SETLKW f write 0 1 = waits     # B is kept out
        C: store f 0 1
        C: F_SETLK f unlock 0 1
        B: returns = granted
        B: load f 0 1 = 1
        B: store f 0 2
        B: F_SETLK f unlock 0 1
        B: load f 0 1 = 2             # both additions count
    """,
    "replaced_file": """
        A: open f
        A: write f 0 0
        B: open f
        A: F_SETLK f write 0 1
        B: F_SETLKW f write 0 1 = waits
        A: read f 0 1 = 0
        A: unlink f
        A: open f as new
        A: write new 0 1
        A: F_SETLK f unlock 0 1
        B: returns = granted          # B compares what it holds (fstat) with what has the name (stat): not the same
        B: open f as now              # so it opens anew
        D: open f
        D: F_SETLK f write 0 1
        B: F_SETLKW now write 0 1 = waits     # and locks again: now B and D lock the same file
        D: read f 0 1 = 1
        D: unlink f
        D: open f as new
        D: write new 0 2
        D: F_SETLK f unlock 0 1
        B: returns = granted          # compared again: stale again, for D has saved too
        B: open f as last
        B: F_SETLK last write 0 1     # held, and it has the name
        B: read last 0 1 = 2
        B: unlink f
        B: open f as next
        B: write next 0 3
        A: open f as now
        A: read now 0 1 = 3           # three versions, and none is lost
    """,
    "private_mapping": """
        A: open f
        A: write f 0 0
        A: map f 1                    # MAP_SHARED: the page is the file's
        B: open f
        B: map f 1
        A: F_SETLK f write 0 1
        A: load f 0 1 = 0
        A: store f 0 1
        A: F_SETLK f unlock 0 1
        B: F_SETLK f write 0 1
        B: load f 0 1 = 1             # B finds what A did
        B: store f 0 2
        B: F_SETLK f unlock 0 1
        A: read f 0 1 = 2             # both additions count, in the file too
    """,
    "killed_holder": """
        A: open f
        A: write f 0 00000            # left, right; the old left and right; valid
        A: map f 5
        A: F_SETLK f write 0 5
        A: store f 2 00               # first the old record
        A: store f 4 1                # it is valid until the update is done
        A: store f 0 1                # left is 1
        B: open f
        B: map f 5
        B: F_SETLKW f write 0 5 = waits
        A: killed                     # SIGKILL between the two halves
        B: returns = granted
        B: load f 4 1 = 1             # valid: whoever held the lock before did not finish
        B: load f 2 2 = 00
        B: store f 0 00               # so the old record is put back
        B: store f 4 0
        B: load f 0 2 = 00            # the half is undone; B's own update can begin
    """,
}
"""The same programs with the fix."""


OPTIONS = ExploreOptions(
    scenarios=[],
    locks=["fcntl"],
    workers=[2],
    rounds=[1],
    search="auto",
    preemptions=3,
    line_bytes=64,
    seed=0,
    jobs=1,
    time_limit_s=10.0,
    show_schedules=0,
)


def stories() -> list[Story]:
    """Return all counterexamples, in the order of teaching."""
    return [_story(*find_scenarios([name])) for name in counterexample_names()]


def _story(found: Found, fixed: Found | None = None) -> Story:
    simulated = "explore" in found.kind.worlds
    why, fix = why_and_fix(found.kind.why)
    return Story(
        scenario=found.name,
        summary=found.summary,
        source="explored" if simulated else "performed",
        broken=account_of(failure_of(found)) if simulated else perform_program(BROKEN[found.name]),
        why=why,
        fix=fix,
        fixed=_holds(fixed) if simulated and fixed else perform_program(FIXED[found.name]),
    )


def why_and_fix(text: str) -> tuple[str, str]:
    """Return the sentences of a counterexample's `why` that give the reason, and the one that gives the fix."""
    sentences = [f"{each.rstrip('.')}." for each in text.split(". ")]
    fix = [each for each in sentences if " fix" in each]
    return " ".join(each for each in sentences if each not in fix), " ".join(fix)


# Explored


def failure_of(found: Found) -> ExploredCase:
    """Explore two workers, one round each, under fcntl, with up to three preemptions."""
    return explore(Case(found, "fcntl", 2, 1), OPTIONS)


def account_of(record: ExploredCase) -> Account:
    """Return the explorer's shortest failure as a story.

    It fails where a request is refused, or with the last store.
    """
    refused = [place for place, step in enumerate(record.steps) if step.value == "EDEADLK"]
    stores = [place for place, step in enumerate(record.steps) if step.operation == "store"]
    wrong = (refused or stores)[-1]
    calls = [_call_of(step) for step in record.steps]
    calls[wrong] = replace(calls[wrong], wrong=True, note=record.headline)
    workers = [f"worker {number}" for number in range(record.workers)]
    return Account(workers, calls, list(record.reasons))


def _call_of(step: Step) -> StoryCall:
    """Return a step in the notation of the explorer's report."""
    refused = " REFUSED (EDEADLK)" if step.value == "EDEADLK" else ""
    signs = {"load": f"{step.field} -> {step.value}", "store": f"{step.field} = {step.value}"}
    return StoryCall(
        step.worker, signs.get(step.operation, f"{step.operation} {step.field}{refused}"), "", "", wrong=False
    )


def _holds(fixed: Found) -> Account:
    record = failure_of(fixed)
    if record.verdict != "holds":
        raise AssertionError(f"{fixed.name} is no fix: {record.headline}")
    return Account([], [], [f"The explorer ran {record.covered} with the fix, and none breaks."])


# Performed


def perform_program(program: str) -> Account:
    """Return the program as performed on the model, with the result of each call there."""
    stage = ModelStage()
    lines = lines_of(program)
    workers = list(dict.fromkeys(_actor(line) for line in lines))
    calls = [_perform_line(stage, workers.index(_actor(line)), line) for line in lines]
    return Account([ACTORS[who] for who in workers], calls, [])


def _actor(line: Line) -> str:
    (step,) = parse(line.call)
    return f"{step.call.actor} thread" if step.call.verb == "thread" else step.call.actor


def _perform_line(stage: ModelStage, worker: int, line: Line) -> StoryCall:
    (step,) = parse(line.call)
    result = stage.perform(step.call)
    if result not in step.expected:
        raise AssertionError(f"{step.call} gave {result}, not {step.wanted}")
    words = str(step.call.made).partition(": ")[2] if step.call.verb == "thread" else str(step.call).partition(": ")[2]
    return StoryCall(worker, words, result, line.note, line.wrong)
