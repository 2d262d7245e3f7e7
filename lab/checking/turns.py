"""Let the hosts take turns: whoever has the turn locks, must find what the turn before left, changes it, and unlocks.

Nothing here depends on luck or on clocks: no two hosts ask at once, and what must be found is known beforehand. A race
may miss what 20 turns show, where a lock seldom leaves one host. The programs are those of `lab.checking.language`, so
they can be performed on any stage. Before the turns, each host in turn holds each lock, exclusively and shared, while
all others ask for it in both ways.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from string import ascii_uppercase
from typing import Protocol, runtime_checkable

from lab.errors import CannotRunError
from lab.records import CheckVerdict, LockProbe, TurnResult
from lab.records.check import LockMode

from .blame import REFUSALS, Before, blame, excuse
from .language import REQUESTS, Step, is_found, parse
from .runner import NO_ROOM, Stage

HANDOFFS = 20
"""So many times the turn goes from one host to another, for each way to the data."""

LEAST_HANDOFFS = 12
"""With fewer of them nothing is called safe."""

SHORT_S, LONG_S, LONGEST_S = 0.3, 2.0, 30.0
"""LEAST_HANDOFFS are enough after the first where one was stale, after the second where none was; after the third no
further turn begins."""

SIZE, FAR = 3 * 4096, 2 * 4096
"""The bytes of the file, and a place on another page than the first: a page cache may keep one and not the other."""

VALUE = 8
DATA, OTHER = "data", "other"
"""The places of the lock: on the file with the data, or on another file."""

MODES: tuple[LockMode, ...] = ("exclusive", "shared")
DENIED = ("EAGAIN", "EACCES")
ASKS = {"posix": "F_GETLK f write 0 10", "ofd": "F_OFD_GETLK f write 0 10"}
"""The question who holds a lock; flock(2) has none."""

Stages = Callable[[], AbstractContextManager[Stage]]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the data: its calls before the first turn, and in each turn, between the lock and the unlock.

    {file} is the file with the data, {old} what the turn before left, {new} what this turn leaves, {end} the size of
    the file before, {turn} the number of this turn. `guarantees` are those that it counts for, by the place of the
    lock; it is tried with the guarantee `beside` which it helps to explain. With `opens` each turn opens the file: the
    lock on the data is then one on that descriptor. With `either` a turn leaves its value by one of the two calls.
    """

    name: str
    guarantees: dict[str, str]
    look: tuple[str, ...]
    leave: tuple[str, ...]
    setup: tuple[str, ...] = ("open {file}",)
    opens: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    places: tuple[str, ...] = (DATA, OTHER)
    beside: str = ""
    either: bool = False


READ, WRITE = "read {data} 0 8 = {old}", "write {data} 0 {new}"
LOAD, STORE = "load {data} 0 8 = {old}", "store {data} 0 {new}"
READS, WRITES = (READ, f"read {{data}} {FAR} 8 = {{old}}"), (WRITE, f"write {{data}} {FAR} {{new}}")
LOADS, STORES = (LOAD, f"load {{data}} {FAR} 8 = {{old}}"), (STORE, f"store {{data}} {FAR} {{new}}")
ANEW, MAPPED = ("open {file} as g",), (f"map g {SIZE}",)

WAYS = (
    Way("pread, pwrite", {DATA: "pread"}, READS, WRITES),
    Way("mapping", {DATA: "mapping"}, LOADS, STORES, ("open {file}", f"map {{file}} {SIZE}")),
    Way(
        "mapping, msync", {}, LOADS, (*STORES, "msync {data}"), ("open {file}", f"map {{file}} {SIZE}"),
        beside="mapping",
    ),
    Way(
        "mapping and pread", {DATA: "mixed"}, (LOAD, READ), (WRITE, STORE), ("open {file}", f"map {{file}} {SIZE}"),
        either=True,
    ),
    Way("reopened", {OTHER: "remapped_pread"}, READS, WRITES, (), ANEW, ("close g",)),
    Way(
        "reopened, also open elsewhere", {}, READS, WRITES, opens=ANEW, closes=("close g",),
        beside="remapped_pread",
    ),
    Way("reopened, fsync", {OTHER: "whole_file"}, READS, (*WRITES, "sync {data}"), (), ANEW, ("close g",)),
    Way(
        "remapped, msync", {OTHER: "remapped"}, LOADS, (*STORES, "msync {data}"), (), (*ANEW, *MAPPED),
        ("unmap g", "close g"),
    ),
    Way(
        "remapped, also open elsewhere", {}, LOADS, (*STORES, "msync {data}"), opens=(*ANEW, *MAPPED),
        closes=("unmap g", "close g"), beside="remapped",
    ),
    Way("size at the end", {DATA: "size"}, ("size {data} = {end}",), ("write {data} {end} {new}",)),
    Way(
        "names", {OTHER: "entries"}, ("names = d n{turn} s",), ("unlink n{turn}", "open n{next} as n", "close n"), (),
        places=(OTHER,),
    ),
)  # fmt: skip
"""The ways, in the order of the table."""

JUDGED = tuple(dict.fromkeys(name for way in WAYS for name in way.guarantees.values()))
"""The guarantees that turns judge."""


def actors(count: int) -> list[str]:
    """Return the names of so many actors, in the order in which they enter: on the hosts in turn."""
    return [ascii_uppercase[index] if index < len(ascii_uppercase) else f"H{index + 1}" for index in range(count)]


@runtime_checkable
class Together(Protocol):
    """A stage that makes several calls of one actor at once, which takes much less time than one by one."""

    def perform_all(self, steps: Sequence[Step], looks: Collection[int]) -> list[str]:
        """Return the results, up to the first that is not expected, unless it is a look that found data."""


class _Calls:
    """A program as it is performed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.done: list[str] = []

    def make(self, actor: str, line: str) -> str:
        """Make the call of this line and return its result. Raises CannotRunError where there is no room."""
        [(_, observed)] = self.make_all(actor, [line])
        return observed

    def make_all(self, actor: str, lines: Sequence[str], looks: Collection[str] = ()) -> list[tuple[Step, str]]:
        """Make these calls and return them with their results, up to the first that is not expected and no look."""
        steps = [step for line in lines for step in parse(f"{actor}: {line}")]
        numbers = {number for number, line in enumerate(lines) if line in looks}
        if len(steps) > 1 and isinstance(self._stage, Together):
            results = self._stage.perform_all(steps, numbers)
        else:
            results = list(self._one_by_one(steps, numbers))
        made = list(zip(steps, results, strict=False))
        self.done += [f"{step.call} = {observed}" for step, observed in made]
        if made[-1][1] in NO_ROOM:
            raise CannotRunError(f"the filesystem is full ({self.done[-1]}); make room, or give another DIR")
        return made

    def _one_by_one(self, steps: Sequence[Step], looks: Collection[int]) -> Iterator[str]:
        for number, step in enumerate(steps):
            observed = self._stage.perform(step.call, step.expected)
            yield observed
            if observed not in step.expected and not (number in looks and is_found(observed)):
                break


def probe(stages: Stages, hosts: Sequence[str], lock: str) -> Iterator[LockProbe]:
    """Yield who is refused this lock while each host in turn holds it, exclusively and shared, and who is admitted.

    Raises CannotRunError where the filesystem is full, and what the stage raises.
    """
    with stages() as stage:
        yield from _Probe(lock, stage, hosts).perform()


class _Probe:
    """One lock on one file that all hosts have open."""

    def __init__(self, lock: str, stage: Stage, hosts: Sequence[str]) -> None:
        self._lock = lock
        self._stage = stage
        self._actors = dict(zip(actors(len(hosts)), hosts, strict=True))

    def perform(self) -> Iterator[LockProbe]:
        release = REQUESTS[self._lock][2]
        opening = _Calls(self._stage)
        for actor in self._actors:
            opened = opening.make(actor, "open f")
            if opened != "ok":
                yield self._result(actor, actor, opening.done, "unknown", opening.done[-1])
                return
        for holder, mode in product(self._actors, MODES):
            holding = _Calls(self._stage)
            held = holding.make(holder, _request(self._lock, mode))
            if held != "granted":
                refused = _is_refused(self._lock, held)
                verdict: CheckVerdict = "unsupported" if refused else "unknown"
                yield self._result(holder, holder, holding.done, verdict, held if refused else holding.done[-1], mode)
                return
            for other, asked in product(self._actors, MODES):
                if other != holder:
                    yield self._ask(holder, other, holding.done, mode, asked)
            released = holding.make(holder, release)
            if released != "granted":
                yield self._result(holder, holder, holding.done, "unknown", holding.done[-1])
                return

    def _ask(self, holder: str, other: str, before: Sequence[str], held: LockMode, asked: LockMode) -> LockProbe:
        """Let another host ask for the lock, and before the first time who holds it; two may hold it shared."""
        calls = _Calls(self._stage)
        asks = ASKS.get(self._lock, "") if held == asked == "exclusive" else ""
        reported = calls.make(other, asks) if asks else ""
        answer = calls.make(other, _request(self._lock, asked))
        done = [*before, *calls.done]
        wanted = "granted" if held == asked == "shared" else "denied"
        verdict: CheckVerdict
        if answer in ("granted", *DENIED):
            verdict = "safe" if (answer == "granted") == (wanted == "granted") else "unsafe"
        else:
            verdict = "unsupported" if _is_refused(self._lock, answer) else "unknown"
        if answer == "granted":
            calls.make(other, REQUESTS[self._lock][2])
        return self._result(holder, other, done, verdict, answer, held, asked, reported)

    def _result(
        self,
        holder: str,
        other: str,
        calls: Sequence[str],
        verdict: CheckVerdict,
        answer: str,
        held: LockMode = "exclusive",
        asked: LockMode = "exclusive",
        reported: str = "",
    ) -> LockProbe:
        return LockProbe(
            lock=self._lock,
            holder=self._actors[holder],
            asker=self._actors[other],
            answer=answer,
            reported=reported,
            verdict=verdict,
            calls=[] if verdict == "safe" else list(calls),
            held=held,
            asked=asked,
        )


def _request(lock: str, mode: LockMode) -> str:
    """Return the call that asks for the lock in this mode, without waiting."""
    acquire = REQUESTS[lock][0]
    return acquire if mode == "exclusive" else acquire.replace(" write ", " read ").replace("exclusive", "shared")


def _is_refused(lock: str, observed: str) -> bool:
    return observed in REFUSALS or (lock == "ofd" and observed == "EINVAL")


def cells(asked: Collection[str], locks: Sequence[str]) -> list[tuple[Way, str, str]]:
    """Return the way, the place and the lock of each series of turns.

    Ways that count for no guarantee are tried beside those for data: the advice needs them.
    """
    wanted = [(way, place) for way in WAYS for place in way.places if {*way.guarantees.values(), way.beside} & {*asked}]
    return [(way, place, lock) for way, place in wanted for lock in locks]


def take_turns(stage: Stage, hosts: Sequence[str], way: Way, place: str, lock: str) -> TurnResult:
    """Perform one series of turns and return what came of it.

    Raises CannotRunError where the filesystem is full, and what the stage raises.
    """
    return _Turns(stage, hosts, way, place, lock).perform()


class _Stopped(Exception):  # noqa: N818 - what happened
    """A call came to something that ends the series."""

    def __init__(self, verdict: CheckVerdict, reason: str, expected: str = "", observed: str = "") -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.expected = expected
        self.observed = observed


class _Turns:
    """One series: its files are d, with the data, and s."""

    def __init__(self, stage: Stage, hosts: Sequence[str], way: Way, place: str, lock: str) -> None:
        self._stage = stage
        self._hosts = hosts
        self._actors = actors(len(hosts))
        self._way = way
        self._place = place
        self._lock = lock
        self._guarantee = way.guarantees.get(place, "")
        self._data = "g" if way.opens else "d"
        self._before: list[str] = []
        self._shown: tuple[list[str], str, str] | None = None
        self._handoffs = self._stale = 0

    def perform(self) -> TurnResult:
        begun = time.monotonic()
        verdict: CheckVerdict
        try:
            self._prepare()
            for turn in range(HANDOFFS + 1 if len(self._hosts) > 1 else 1):
                spent = time.monotonic() - begun
                enough_s = SHORT_S if self._stale else LONG_S
                if spent > LONGEST_S or (spent > enough_s and self._handoffs >= LEAST_HANDOFFS):
                    break
                self._take(turn)
        except _Stopped as stopped:
            verdict = "unsafe" if self._stale else stopped.verdict
            return self._result(verdict, stopped.reason, stopped.expected, stopped.observed)
        if self._stale:
            return self._result("unsafe", "")
        few = "" if self._handoffs >= LEAST_HANDOFFS else f"only {self._handoffs} hand-offs between hosts"
        return self._result("unknown" if few else "safe", few)

    def _prepare(self) -> None:
        """Let the first host make the files, and then each host do what it does before its first turn."""
        calls = _Calls(self._stage)
        lines = [
            *(
                "open d as i",
                f"truncate i {SIZE}",
                f"write i 0 {0:0{VALUE}}",
                f"write i {FAR} {0:0{VALUE}}",
                "sync i",
                "close i",
                "open s as i",
                "close i",
            ),
            *(("open n0 as i", "close i") if self._way.name == "names" else ()),
        ]
        self._must(calls, self._actors[0], lines)
        for actor in self._actors:
            own = [self._words(line, 0) for line in self._way.setup]
            if self._place == OTHER:
                own.append("open s as l")
            if own:
                self._must(calls, actor, own)

    def _take(self, turn: int) -> None:
        """Take one turn; count it where the turn before was on another host, and where what it left was not found."""
        actor = self._actors[turn % len(self._actors)]
        calls = _Calls(self._stage)
        way, held = self._way, "l" if self._place == OTHER else self._data
        own = self._place == DATA and bool(way.opens)  # the lock is on the descriptor that this turn opens
        _, wait, release = (each.replace(" f ", f" {held} ") for each in REQUESTS[self._lock])
        leave = way.leave[turn // len(self._actors) % 2 :][:1] if way.either else way.leave
        ends = len(way.closes) - own
        before = [*way.opens[: int(own)], wait, *way.opens[int(own) :]]
        after = [*leave, *way.closes[:ends], release, *way.closes[ends:]]
        before, looks, after = ([self._words(line, turn) for line in some] for some in (before, way.look, after))
        made = self._must(calls, actor, [*before, *looks, *after], looks)
        stale = [(step, observed) for step, observed in made if observed not in step.expected]
        if stale and not self._shown:
            step, observed = stale[0]
            shown = calls.done[: made.index(stale[0]) + 1]
            self._shown = [*self._before, *shown], step.wanted, observed
        self._handoffs += turn > 0
        self._stale += bool(stale)
        self._before = calls.done

    def _words(self, line: str, turn: int) -> str:
        return line.format(
            file="d",
            data=self._data,
            old=f"{turn:0{VALUE}}",
            new=f"{turn + 1:0{VALUE}}",
            end=SIZE + VALUE * turn,
            turn=turn,
            next=turn + 1,
        )

    def _must(
        self, calls: _Calls, actor: str, lines: Sequence[str], looks: Collection[str] = ()
    ) -> list[tuple[Step, str]]:
        """Make calls that have to succeed, but that looks may find other data; return them with their results."""
        made = calls.make_all(actor, lines, looks)
        step, observed = made[-1]
        if observed not in step.expected and (len(made) < len(lines) or not is_found(observed)):
            self._stop(step, observed, calls)
        return made

    def _stop(self, step: Step, observed: str, calls: _Calls) -> None:
        """Raise what a call means that came to something else."""
        found = blame(self._guarantee or "whole_file", step, step.call, observed, Before())
        told = f"{step.call}: expected {step.wanted}, observed {observed}"
        verdict = found.verdict
        lock_call = step.call.may_wait or step.call.verb in REQUESTS
        if verdict == "unsafe" and (lock_call or excuse(step.call, observed)):
            verdict = "unknown"
        if verdict == "unsafe":
            self._shown = self._shown or ([*self._before, *calls.done], step.wanted, observed)
        refused = f"{step.call.verb} is not supported ({observed})"
        raise _Stopped(verdict, refused if verdict == "unsupported" else told, step.wanted, observed)

    def _result(self, verdict: CheckVerdict, reason: str, expected: str = "", observed: str = "") -> TurnResult:
        calls, wanted, seen = self._shown or ([], expected, observed)
        return TurnResult(
            guarantee=self._guarantee,
            way=self._way.name,
            place=self._place,
            lock=self._lock,
            handoffs=self._handoffs,
            stale=self._stale,
            verdict=verdict,
            reason=reason,
            expected=wanted,
            observed=seen,
            calls=calls,
        )
