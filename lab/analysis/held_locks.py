"""Follow which process holds which lock, through the calls of a history: descriptors, forks, closes and unlocks.

The rules are those of fcntl(2), "Record locks": a POSIX lock belongs to the process, and any close of the file ends it;
and of flock(2): a lock belongs to the open file description, which forked children share. A lock file is held from its
creation with O_EXCL to its removal.

A request for a lock in another mode takes effect twice: what its owner gives up by it is given up no earlier than the
first stamp of the call, as by an unlock, and what it gets is there at the second.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from .lock_faults import Cause, Finding, Hold, Lost, Site, Use, span_of
from .ordering import Clocks
from .watched import END, EXCLUSIVE, RELEASED, WAITS, Event, History, Kind


@dataclass(eq=False, slots=True)
class Description:
    """An open file description: what several descriptors, also of several processes, refer to."""

    file: int
    holders: set[tuple[int, int]] = field(default_factory=set)
    appended: Event | None = None


UNKNOWN = 0
"""In place of the time of a release that was not seen."""

SOME_CHILD = -2
"""In place of the process that was waited for, where the call does not name it (system(3), pclose(3))."""

Range = tuple[str, int, int, int]
"""A lock that can be requested: the way, the file, and the range."""

WAYS = {Kind.POSIX: "fcntl", Kind.OFD: "ofd", Kind.FLOCK: "flock"}
CONTENDED_NS = 20_000
"""A request that took longer waited for somebody."""


class HeldLocks:
    """The locks that are held while a history is read, and what is wrong with them."""

    def __init__(self, history: History, site: Site) -> None:
        self._history, self._site = history, site
        self._clocks = Clocks()
        self._findings: dict[Hashable, Finding] = {}
        self._uses: dict[tuple[int, str], Use] = defaultdict(Use)
        self._described: dict[int, dict[int, Description]] = defaultdict(dict)
        """What the descriptors of each process refer to, by their numbers."""
        self._held: dict[Hashable, dict[tuple[str, int], list[Hold]]] = defaultdict(lambda: defaultdict(list))
        self._lock_files_held: dict[Hashable, None] = {}
        """Those of the owners that are names of lock files, whoever made them."""
        self._lost: dict[int, list[Lost]] = defaultdict(list)
        self._kinds: dict[int, dict[str, dict[int, Event]]] = defaultdict(lambda: defaultdict(dict))
        """The first request of each process for a lock on a file, by its kind."""
        self._refused: dict[tuple[int, int], Event] = {}
        self._unlocked: set[tuple[int, int]] = set()
        self._replaced: dict[int, str] = {}
        self._names = [file.path for file in history.files]
        self._order: dict[tuple[Range, Range], list[_Wanted]] = defaultdict(list)
        self._parent: dict[int, int] = {}
        self._ended: set[int] = set()
        self._executed: set[tuple[int, int]] = set()
        """Descriptors that a program inherited when it was executed."""
        self._kept: list[tuple[Description, Event, Hold]] = []
        self._inherited_by: dict[int, set[int]] = defaultdict(set)
        """The descriptors with which each image began."""
        for event in history.events.of_kinds([Kind.INHERITED]):
            self._inherited_by[event.stack[0]].add(event.fd)
        self._last = history.events.last_times()

    def _found(self, cause: Cause, file: int, *events: Event) -> None:
        told = events[:1] if cause == "locked a replaced file" else events
        key = cause, self._name(file), tuple(self._site(event) for event in told)
        if key in self._findings:
            self._findings[key].count += 1
            self._findings[key].processes.update(event.process for event in events)
        else:
            self._findings[key] = Finding(cause, file, events)

    def _name(self, file: int) -> str:
        """Return the name that a file has now."""
        return self._names[file] if file >= 0 else ""

    # -- Processes

    def _start(self, event: Event) -> None:
        """A program began: of the descriptors that the process had, those that are not inherited were closed."""
        if event.other >= 0 and event.other != event.process:
            self._clocks.learn(event.process, event.other)
        inherited = self._inherited_by[event.stack[0]]
        earlier = event._replace(time=UNKNOWN)  # they were closed before the program's first call
        for fd in self._described[event.process].keys() - inherited:
            self._forget(earlier, fd)

    def _inherited(self, event: Event) -> None:
        if event.fd not in self._described[event.process]:
            processes = self._history.processes
            parent = processes[event.process].parent
            theirs = (its.get(event.fd) for process, its in self._described.items() if processes[process].pid == parent)
            shared = next((its for its in theirs if its and its.file == event.file), None)
            self._describe(event, shared or Description(event.file))
        self._executed.add((event.process, event.fd))
        for number, (description, closed, hold) in enumerate(self._kept):
            if description is self._described[event.process][event.fd]:
                self._found("kept by a child", event.file, hold.event, closed, event)
                del self._kept[number]
                break

    def _descends(self, process: int, ancestor: int) -> bool:
        """Tell whether a process was forked by another, or by one that was."""
        parent = self._parent.get(process)
        return parent is not None and (parent == ancestor or self._descends(parent, ancestor))

    def _fork(self, event: Event) -> None:
        if event.other < 0:
            return
        self._parent[event.process] = event.other
        self._clocks.learn(event.process, event.other)
        for fd, description in self._described[event.other].items():
            self._described[event.process][fd] = description
            description.holders.add((event.process, fd))
        for holds in self._held[("process", event.other)].values():
            self._lost[event.process] += [Lost("not inherited by a fork", hold, event) for hold in holds]

    def _waited(self, event: Event) -> None:
        """A process waited for a child: for this one, or for one that the call does not name."""
        children = [event.other] if event.other >= 0 else []
        if event.other == SOME_CHILD:
            parents = enumerate(self._history.processes)
            pid = self._history.processes[event.process].pid
            children = [child for child, its in parents if its.parent == pid and child in self._ended]
        for child in children:
            self._end_process(event._replace(process=child, time=UNKNOWN))
            self._clocks.learn(event.process, child)

    def _exit(self, event: Event) -> None:
        self._end_process(event)
        self._ended.add(event.process)

    def _end_process(self, event: Event) -> None:
        for (way, file), holds in self._held[("process", event.process)].items():
            if holds and event.kind is not Kind.EXIT:
                self._found("died inside", file, holds[0].event, event)
            for hold in holds:
                self._release(event, way, file, hold)
            holds.clear()
        for fd in list(self._described[event.process]):
            self._forget(event, fd)

    # -- Descriptors

    def _describe(self, event: Event, description: Description, fd: int | None = None) -> None:
        fd = event.fd if fd is None else fd
        self._described[event.process][fd] = description
        description.holders.add((event.process, fd))

    def _dup(self, event: Event) -> None:
        description = self._described[event.process].get(event.fd)
        if description is None:
            description = Description(event.file)
            self._describe(event, description)
        self._describe(event, description, event.other)

    def _close(self, event: Event) -> None:
        self._forget(event, event.fd)

    def _exec(self, event: Event) -> None:
        """A process executes another program, which closes a descriptor (FD_CLOEXEC), unless the call returned."""
        if event.fd >= 0 and not event.finish:
            self._forget(event, event.fd)

    def _forget(self, event: Event, fd: int) -> None:
        """A descriptor is closed: POSIX locks on its file go, others with the last descriptor of the description."""
        description = self._described[event.process].pop(fd, None)
        if description is None:
            return
        description.holders.discard((event.process, fd))
        holds = self._held[("process", event.process)]["range", description.file]
        for hold in holds:
            self._release(event, "range", description.file, hold)
            if event.kind is Kind.EXEC or (event.kind is Kind.CLOSE and hold.event.fd != fd):
                self._lost[event.process].append(Lost("dropped by a close", hold, event))
        holds.clear()
        for way in ("range", "flock"):
            own = self._held[description].get((way, description.file), [])
            for hold in own if not description.holders else ():
                self._release(event, way, description.file, hold)
            if not description.holders:
                own.clear()
            self._leave_behind(event, description, way, own)
        if not description.holders:
            self._held.pop(description, None)

    def _leave_behind(self, event: Event, description: Description, way: str, own: list[Hold]) -> None:
        """A process closes its last descriptor of a description, with which others still have the lock."""
        for hold in own:  # what it did until now is behind whoever closes the last one
            self._clocks.release(event.process, (way, description.file), hold.start, hold.end)
        if own and all(self._descends(process, event.process) for process, _ in description.holders):
            for hold in own:
                if description.holders & self._executed:
                    self._found("kept by a child", description.file, hold.event, event)
                else:
                    self._kept.append((description, event, hold))

    # -- Locks

    def _owner(self, event: Event) -> Hashable:
        if event.kind is Kind.POSIX:
            return "process", event.process
        description = self._described[event.process].get(event.fd)
        if description is None:
            description = Description(event.file)
            self._describe(event, description)
        return description

    def _lock(self, event: Event) -> None:
        way = "flock" if event.kind is Kind.FLOCK else "range"
        owner, exclusive = self._owner(event), bool(event.flags & EXCLUSIVE)
        start, end = (0, END) if way == "flock" else (event.start, event.end)
        self._kinds[event.file][way].setdefault(event.process, event)
        use = self._uses[event.file, WAYS[event.kind]]
        if event.flags & 3 == RELEASED:
            if not event.result:
                self._unlock(event, owner, way, start, end)
        elif not event.finish:
            blockers = [hold.event for hold in self._conflicts(owner, way, event.file, start, end, exclusive)]
            if event.flags & WAITS and blockers:
                self._found("still waiting", event.file, blockers[0], event)
            self._wanted(event, way, start, end, exclusive)
        elif event.result:
            use.refused += 1
            self._refused[event.process, event.file] = event
            if event.result in (errno.EDEADLK, errno.EINTR):
                self._wanted(event, way, start, end, exclusive)
        else:
            self._refused.pop((event.process, event.file), None)
            use.waits_ns.append(event.finish - event.begin)
            use.contended += event.finish - event.begin > CONTENDED_NS
            self._wanted(event, way, start, end, exclusive)
            self._grant(event, owner, way, event.file, start, end, exclusive=exclusive)

    def _in_effect(self) -> Iterator[Event]:
        """Yield all events by time; before each, let go what requests that had begun by then give up."""
        requests = self._history.events.requests()
        asked = next(requests, None)
        for event in self._history.events:
            while asked is not None and asked.begin <= event.time:
                if asked.time >= event.time:  # else it has been granted: calls of threads are in their order only
                    self._give_up(asked)
                asked = next(requests, None)
            yield event

    def _give_up(self, asked: Event) -> None:
        """An owner asks for what it has in another mode: by flock that goes first, even if the request is refused.

        By fcntl an exclusive lock becomes a shared one when that is granted; a shared one stays until it is exclusive.
        """
        exclusive, granted = bool(asked.flags & EXCLUSIVE), bool(asked.finish) and not asked.result
        if asked.kind is Kind.FLOCK:
            way, start, end = "flock", 0, END
            goes = asked.result in (0, errno.EWOULDBLOCK, errno.EINTR)
        else:
            way, start, end = "range", asked.start, asked.end
            goes = granted and not exclusive
        holds = self._held[self._owner(asked)][way, asked.file] if goes else []
        for hold in [each for each in holds if each.exclusive != exclusive and each.overlaps(start, end)]:
            if granted:
                self._again(asked, hold, way, exclusive)
            part = max(start, hold.start), min(end, hold.end)
            self._cut(asked._replace(time=asked.begin), self._owner(asked), way, asked.file, *part)

    def _unlock(self, event: Event, owner: Hashable, way: str, start: int, end: int) -> None:
        gone = self._cut(event, owner, way, event.file, start, end)
        self._unlocked.add((event.process, event.file))
        for hold in gone:
            if hold.event.process not in (event.process, *self._ended):  # who ended left the lock to others
                self._found("unlocked by another process", event.file, hold.event, event)
                self._lost[hold.event.process].append(Lost("unlocked by another process", hold, event))
        if gone:
            return
        lost = self._lost_of(event, start, end)
        if lost is not None:
            self._found(lost.cause, event.file, lost.hold.event, lost.by, event)
        elif way == "range" or owner not in self._held:
            self._found("unlocked without a lock", event.file, event)

    def _lost_of(self, event: Event, start: int, end: int) -> Lost | None:
        """Return the lock on these bytes that the process has lost and still believes in."""
        for lost in reversed(self._lost[event.process]):
            if lost.hold.event.file == event.file and lost.hold.overlaps(start, end):
                return lost
        return None

    def _grant(
        self, event: Event, owner: Hashable, way: str, file: int, start: int, end: int, *, exclusive: bool
    ) -> None:
        before = [hold for hold in self._held[owner][way, file] if hold.overlaps(start, end)]
        for hold in before:
            self._again(event, hold, way, exclusive)
        if before:
            self._cut(event, owner, way, file, start, end)
        for hold in list(self._conflicts(owner, way, file, start, end, exclusive)):
            if self._last.get(hold.event.process, 0) < event.finish:  # the dead hold nothing
                self._died(hold, event)
            elif hold.event.finish < event.finish:
                self._found("two let in", file, hold.event, event)
        self._clocks.acquire(event.process, self._where(way, file), start, end, exclusive=exclusive)
        self._held[owner][way, file].append(Hold(start, end, exclusive, event, stale=file in self._replaced))
        if way == "lock file":
            self._lock_files_held[owner] = None
        self._lost[event.process] = [
            lost for lost in self._lost[event.process]
            if lost.hold.event.file != file or not lost.hold.overlaps(start, end)
        ]  # fmt: skip

    def _again(self, event: Event, hold: Hold, way: str, exclusive: bool) -> None:
        """A lock is requested on bytes that the same owner holds already."""
        if exclusive and not hold.exclusive:
            self._found("converted", event.file, hold.event, event)
        elif exclusive == hold.exclusive and way == "range" and event.kind is Kind.POSIX:
            its = self._described[event.process]
            if its.get(event.fd) is not its.get(hold.event.fd) or event.thread != hold.event.thread:
                self._found("locked twice", event.file, hold.event, event)

    def _conflicts(self, owner: Hashable, way: str, file: int, start: int, end: int, exclusive: bool) -> Iterator[Hold]:
        for other, places in self._held.items():
            if other is not owner and other != owner:
                for hold in places.get((way, file), ()):
                    if hold.overlaps(start, end) and (exclusive or hold.exclusive):
                        yield hold

    def _cut(self, event: Event, owner: Hashable, way: str, file: int, start: int, end: int) -> list[Hold]:
        """Take a range away from what an owner holds; return what was held of it."""
        kept, gone = [], []
        for hold in self._held[owner][way, file]:
            if not hold.overlaps(start, end):
                kept.append(hold)
                continue
            part = Hold(max(start, hold.start), min(end, hold.end), hold.exclusive, hold.event, hold.stale)
            gone.append(part)
            if hold.start < start:
                kept.append(Hold(hold.start, start, hold.exclusive, hold.event, hold.stale))
            if end < hold.end:
                kept.append(Hold(end, hold.end, hold.exclusive, hold.event, hold.stale))
        self._held[owner][way, file] = kept
        for part in gone:
            self._release(event, way, file, part)
        return gone

    def _release(self, event: Event, way: str, file: int, hold: Hold) -> None:
        self._clocks.release(event.process, self._where(way, file), hold.start, hold.end, exclusive=hold.exclusive)
        self._record(hold, file, min(event.time, event.begin))

    def _record(self, hold: Hold, file: int, released: int) -> None:
        """Record a hold that has ended, or whose end was not seen."""
        taken, span = hold.event, span_of(hold.start, hold.end, exclusive=hold.exclusive)
        use = self._uses[file, WAYS.get(taken.kind, "lock file")]
        use.add_hold(taken.finish, released, taken.begin, taken.process, span)
        if released - taken.finish > use.longest_ns:
            use.longest_ns, use.longest = released - taken.finish, taken

    def _record_rest(self) -> None:
        """Record what is held in the end."""
        for places in self._held.values():
            for (_, file), holds in places.items():
                for hold in holds:
                    self._record(hold, file, UNKNOWN)

    def _where(self, way: str, file: int) -> tuple[str, Hashable]:
        """Return what a release leaves its knowledge on: a lock file is a name, whatever file has it."""
        return ("name", self._name(file)) if way == "lock file" else (way, file)

    def _died(self, hold: Hold, event: Event) -> None:
        """A process that held a lock has made no call since: the kernel released it at its end."""
        gone = event._replace(process=hold.event.process, kind=Kind.EXIT, time=UNKNOWN)
        self._found("died inside", hold.event.file, hold.event)
        self._end_process(gone)

    def _holds_of(self, process: int) -> Iterator[Hold]:
        for owner in dict.fromkeys([("process", process), *self._described[process].values()]):
            if owner in self._held:
                for holds in self._held[owner].values():
                    yield from holds
        for owner in self._lock_files_held:
            for holds in self._held[owner].values():
                yield from (hold for hold in holds if hold.event.process == process)

    def _wanted(self, event: Event, way: str, start: int, end: int, exclusive: bool) -> None:
        """Note which locks the process holds while it waits for another; one that only tries cannot hang."""
        if not event.flags & WAITS:
            return
        held = [hold for hold in self._holds_of(event.process) if hold.event.process == event.process]
        wanted = way, event.file, start, end
        for hold in held:
            kind = "flock" if hold.event.kind is Kind.FLOCK else "range"
            has = kind, hold.event.file, hold.start, hold.end
            if has[:2] != wanted[:2] or not hold.overlaps(start, end):
                gates = {(each.event.file, each.start, each.end) for each in held if each is not hold}
                known = self._order[has, wanted]
                if len(known) < 8:
                    known.append(_Wanted(hold, event, exclusive, gates))

    def _opposite_orders(self) -> None:
        for (first, second), forward in list(self._order.items()):
            for (third, fourth), backward in self._order.items():
                if touch(second, third) and touch(fourth, first):
                    for one in forward:
                        for two in backward:
                            if one.event.process < two.event.process and one.closes_ring_with(two):
                                self._found(
                                    "opposite order", one.event.file,
                                    one.hold.event, one.event, two.hold.event, two.event,
                                )  # fmt: skip


@dataclass(slots=True)
class _Wanted:
    """A lock that was requested while another was held; `gates` are the other locks held meanwhile."""

    hold: Hold
    event: Event
    exclusive: bool
    gates: set[tuple[int, int, int]]

    def closes_ring_with(self, other: _Wanted) -> bool:
        """Tell whether each can wait for the other: their modes exclude it, and no third lock keeps them apart."""
        return (
            (self.hold.exclusive or other.exclusive)
            and (other.hold.exclusive or self.exclusive)
            and not self.gates & other.gates
        )


def touch(one: Range, other: Range) -> bool:
    """Tell whether two locks, as (way, file, start, end), overlap."""
    (way, file, start, end), (their_way, their_file, their_start, their_end) = one, other
    return bool((way, file) == (their_way, their_file) and start < their_end and their_start < end)
