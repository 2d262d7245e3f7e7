"""Supervise a check from the user's process: it always ends, and its findings are kept.

This process never touches the directories under test. One child does the whole check and reports its findings as it
goes (`lab.processes.guarded`); this one keeps them, shows the progress, judges, and reacts to Ctrl-C at every moment.
It gives the check up

- when a mount no longer answers, as the child notices itself where one of its actors or workers hangs;
- when the child itself hangs: before each call that may hang, it records the call and how long that may take;
- after the seconds that were requested and BACKSTOP_S, if a mount does not answer then;
- after HUNG_S, if anything has hung, though the mount answers other calls: a call without an answer, a process that
  does not end on SIGKILL, or the child itself. Where nothing has hung, the mount is only slow, and the check goes on.

Then all processes of the check are ended, those that SIGKILL does not end are named, and the folder is removed by one
more child, where the mount answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals

from lab.errors import CannotRunError
from lab.host.environment import RunStart, anonymous_text, mounts_of
from lab.host.procfs import sleeps_in
from lab.memory import anonymous
from lab.output import complain
from lab.processes import TOUCH_S, Activity, Terminated, doing, stop_on_sigterm, stops_noted
from lab.processes.deadlines import Standstill
from lab.processes.guarded import KILL, TERMINATE, Cleaned, Guarded, Over, Raised, Refused, Send
from lab.records import Check, CheckOptions, Hang, Mount, RandomPrograms, RuleResult, StressResult, Stuck

from .mounts import ANSWER_S, FIRST_CALLS, clear, enter, fresh_name, silent
from .request import Request, request_for
from .run import Announcer, Ending, Found, Silent, document, early_end, run_parts
from .stress.run import check_workers

BOUND_S = 30.0
"""A check in which anything hangs ends within the requested seconds and this many more.

Each thing that takes time then has its share: HUNG_S, a probe of the mounts that begins just before that ends, KILL_S
and CLEAN_HUNG_S. A call that hangs before BACKSTOP_S leaves the time of the probe to a busy machine.
"""

BACKSTOP_S = 11.5
"""This long after the requested seconds the mounts are probed for an answer, and then again and again."""

HUNG_S = 17.0
"""This long after them the check ends if anything has hung, whatever the mounts answer: BACKSTOP_S and one probe.

They are probed after the hang, once: where one does not answer, nothing is unsafe because of it.
"""

AGAIN_S = 5.0
GRACE_S = 5.0
"""The time that an interrupted process has to end in good order."""

KILL_S = 3.5
"""The guard has ended all processes by then, or is itself stopped."""

CLEAN_S = 10.0
"""The removal of the folder is given up after that."""

CLEAN_HUNG_S = 3.0
"""The same after a call without an answer."""

TICK_S = 0.1
STOPS_TO_HURRY = 2
"""A user who presses Ctrl-C this many times does not want to wait for anything."""

SILENT = "the mount does not answer any more"
UNNAMED = "a call that was not announced"


@dataclass(frozen=True, slots=True)
class Title:
    """The next step of the child."""

    text: str


@dataclass(frozen=True, slots=True)
class Entered:
    """The folder exists, on these mounts."""

    mounts: list[Mount]


@dataclass(frozen=True, slots=True)
class Silence:
    """The child has noticed that mounts no longer answer: their numbers, and the call that showed it."""

    hang: Hang
    dead: list[int]


@dataclass(frozen=True, slots=True)
class Done:
    """The check is complete."""


def check(options: CheckOptions, directories: Sequence[Path], tell: Announcer) -> Check:
    """Run what `options.only` requests in a fresh folder of these directories, which are one, seen through each mount.

    Ends in time whatever the mounts do. Findings before an interrupt (Ctrl-C, SIGTERM; a second one cuts the clean-up
    short) or before a mount stops answering are kept, and the document says so. Raises UsageError for more workers than
    a race has room for, and for paths that are not directories, may not be used or are not the same; CannotRunError
    where they cannot be written, do not answer at first, or fill up, and where fork(2) is refused. A folder that could
    not be removed is named on stderr.
    """
    request = request_for(options.only)
    check_workers(request.guarantees if "stress" in request.parts else (), options.workers)
    with stops_noted(again=False) as stops:
        return _Supervised(options, request, directories, tell, stops).run()


class _Supervised:
    """One check, and its known state."""

    def __init__(
        self,
        options: CheckOptions,
        request: Request,
        directories: Sequence[Path],
        tell: Announcer,
        stops: Sequence[int],
    ) -> None:
        self._options = options
        self._request = request
        self._directories = directories
        self._tell = tell
        self._stops = stops
        self._begun, self._found = RunStart(), Found()
        ends = time.monotonic() + options.seconds
        self._backstop = self._next_look = ends + BACKSTOP_S
        self._hung_by = ends + HUNG_S
        self._looked = False  # True after the mounts were probed since something had hung
        self._standstill = Standstill()
        name = fresh_name()
        self._folders = [directory / name for directory in directories]
        self._activity = Activity()
        self._identities = memoryview(anonymous(16 * len(directories))).cast("Q")
        self._mounts: list[Mount] = []
        self._done = False
        self._over: Over | None = None
        self._error: BaseException | None = None
        self._hang: Hang | None = None
        self._dead: list[int] = []
        self._left: list[Stuck] = []
        self._left_behind = ""
        self._says_what_is_left = False

    def run(self) -> Check:
        """Return the document; raise what the check raised, KeyboardInterrupt where it had not begun."""
        with Guarded(self._body, self._clear) as guarded:
            try:
                self._watch(guarded)
            except OSError as error:  # of a call of this process: the findings are kept, and the folder removed
                self._early = f"a call of the lab's own process was refused: {error.strerror}"
                guarded.order(KILL)
                self._watch(guarded)
            self._left += [Stuck(each.pid, each.where) for each in (self._over.left if self._over else ())]
            self._clean(guarded)
        interrupted = bool(self._stops) and not self._done
        if self._error and not interrupted:
            raise self._error
        if interrupted and not self._mounts:
            raise KeyboardInterrupt
        left_behind = [anonymous_text(self._left_behind)] if self._left_behind else []
        if self._hang and not self._hang.where and self._left:  # the waiting process is not the child itself
            self._hang = replace(self._hang, where=self._left[0].where)
        early = "" if interrupted else self._why_no_end()
        ending = Ending(interrupted, early, self._hang, self._left, left_behind)
        return document(self._options, self._request, self._found, self._mounts, self._begun, ending)

    def _body(self, send: Send) -> None:
        """Run the check in the child."""
        self._activity.install()
        try:
            with stop_on_sigterm(), enter(self._directories, self._folders[0].name, self._identities) as folders:
                with doing(f"{FIRST_CALLS}{self._directories[0]}", ANSWER_S):
                    send(Entered(mounts_of(self._directories)))
                run_parts(self._request, self._options, folders, send, lambda title: send(Title(title)))
                send(Done())
        except Silent as silent:
            send(Silence(silent.hang, list(silent.dead)))
        except Terminated:
            pass

    def _clear(self, number: int) -> str:
        """Remove the folder by its name on this mount, in the guard at the end."""
        device, inode = self._identities[2 * number : 2 * number + 2]
        return clear(self._folders[number], device, inode) if device else ""

    def _keep(self, record: object) -> None:
        match record:
            case Title(text):
                self._tell(text)
            case Entered(mounts):
                self._mounts = mounts
            case Done():
                self._done = True
            case Silence(hang, dead):
                self._give_up(hang, dead)
            case Raised(error, trace):
                error.add_note(trace)
                self._error = error
            case Refused(reason):
                self._error = CannotRunError(f"fork refused ({reason}); raise the limits (ulimit -u, -n)")
            case Over():
                self._over = record
            case RuleResult() | StressResult() | RandomPrograms() | Stuck():
                self._found.keep(record)

    def _watch(self, guarded: Guarded) -> None:
        """Keep the reports of the child, until it and all its processes have ended or have to be left."""
        ends_by = float("inf")  # the time when the last order should have been carried out
        killed = False
        while not (self._over or guarded.has_ended):
            for record in guarded.received(TICK_S):
                self._keep(record)
            now = time.monotonic()
            if killed and now > ends_by:
                return
            if not killed and (now > ends_by or len(self._stops) >= STOPS_TO_HURRY or self._hang or self._is_hung()):
                guarded.order(KILL)
                killed, ends_by = True, time.monotonic() + KILL_S
            elif self._stops and ends_by == float("inf"):
                guarded.order(TERMINATE)
                ends_by = now + GRACE_S
        for record in guarded.received(0):
            self._keep(record)

    def _is_hung(self) -> bool:
        """Tell whether the child hangs, a mount does not answer after the time is over, or anything hung; note why."""
        stands = self._standstill.seconds(self._activity.read().pid) > TOUCH_S
        overdue = self._activity.overdue()
        anything = bool(overdue or stands or self._activity.hang())
        dead: list[int] = []
        now = time.monotonic()
        if overdue or now > self._next_look or (now > self._backstop and anything and not self._looked):
            dead = self._silent()
            self._next_look, self._looked = time.monotonic() + AGAIN_S, anything
            overdue = self._activity.overdue()
        is_late = anything and time.monotonic() > self._hung_by
        deed = overdue or (self._activity.read() if stands and is_late else None)
        if not (deed or dead or is_late):
            return False
        doing_now = deed or self._activity.read()
        if doing_now.what.startswith(FIRST_CALLS):
            self._error = _no_answer(doing_now.what.removeprefix(FIRST_CALLS))
            self._dead, self._says_what_is_left = dead, bool(dead)
            return True
        call, _, where = self._activity.hang().partition(", asleep in ")
        if deed or not call:
            call = f"{doing_now.what or UNNAMED}, without an end for {time.monotonic() - doing_now.since:.0f} s"
            where = sleeps_in(doing_now.pid) if deed else ""  # otherwise that process waits for others
        self._give_up(Hang(call, where, [anonymous_text(str(self._directories[number])) for number in dead]), dead)
        return True

    def _silent(self) -> list[int]:
        """Return the numbers of the mounts that do not answer; none where there is no process to probe them."""
        stops = len(self._stops)
        try:
            found = silent(self._folders, lambda: len(self._stops) > stops)
        except CannotRunError:
            return []
        self._left += [Stuck(each.pid, each.where or "unknown") for each in found.values() if each.left]
        return list(found)

    def _give_up(self, hang: Hang, dead: Sequence[int]) -> None:
        self._hang, self._dead = hang, list(dead)

    def _why_no_end(self) -> str:
        """Return the reason why the check is incomplete though it was not interrupted; empty where it is complete."""
        if self._hang:
            return early_end(self._hang)
        if self._done:
            return ""
        code = self._over.code if self._over else None
        how = f"was ended by {Signals(-code).name}" if code and code < 0 else "was ended by somebody"
        return f"the process that makes the check {how}"

    def _clean(self, guarded: Guarded) -> None:
        """Remove the folder through a mount that answers; a stop cuts that short."""
        made = [number for number in range(len(self._folders)) if self._identities[2 * number]]
        if not made or self._says_what_is_left:
            return
        usable = [number for number in made if number not in self._dead]
        if usable and len(self._stops) < STOPS_TO_HURRY:
            try:
                why = self._removed(guarded, usable[0])
            except OSError as error:
                why = error.strerror or str(error)
        else:
            why = "interrupted" if usable else SILENT
        if why:
            left = self._folders[made[0]]
            self._left_behind = f"{left} ({why})"
            complain(f"{left}: left behind, for it could not be removed ({why}); remove it by hand")

    def _removed(self, guarded: Guarded, number: int) -> str:
        """Have the folder removed by this name; return the reason why it still exists, empty where it is gone."""
        stops = len(self._stops)
        deadline = time.monotonic() + (CLEAN_HUNG_S if self._hang else CLEAN_S)
        guarded.clean_up(number)
        over = False
        while not over:
            over = guarded.has_ended or time.monotonic() > deadline or len(self._stops) > stops
            for record in guarded.received(TICK_S):
                if isinstance(record, Cleaned):
                    return record.answer
        self._left += [Stuck(each.pid, each.where) for each in guarded.give_up()]
        return "interrupted" if len(self._stops) > stops else SILENT


def _no_answer(directory: str) -> CannotRunError:
    return CannotRunError(
        f"{directory}: does not answer within {ANSWER_S:g} s, a folder lab-check-* may be left in it; "
        "look whether its server lives, or unmount it by force (umount -f)"
    )
