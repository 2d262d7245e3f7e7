"""Judge how a program used locks on files: which accesses nothing orders, and why.

Facts of single calls (a lock that a close dropped, an unlock of nothing, two that lock in opposite order) stand beside
accesses that nothing orders; such an access is reported under the fact that explains it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from os import O_ACCMODE, O_CREAT, O_EXCL, O_RDONLY, O_TRUNC
from typing import TypeVar

from .held_locks import Description, HeldLocks
from .lock_faults import Cause, Hold, Judgement, Lock, Lost, Site, Unordered, folded
from .ordering import Accesses
from .watched import APPENDS, END, ENDS_LINE, LOADS, RELEASED, SEEN, Event, History, Kind
from .words import KnownWords, Words

EMPTIES = {Kind.OPEN, Kind.TRUNCATE}
MOST_PAIRS = 100_000
"""So many unordered pairs are kept; more say nothing new."""

MOST_READS = 256
"""So many loads wait for the store that shows what they were for."""


PAGE = 4096


def nothing(_: Event) -> bool:
    """Leave no access out."""
    return False


NO_WORDS: KnownWords = {}

Noted = TypeVar("Noted")


class _Last(OrderedDict[Event, Noted]):
    """What was noted of the last MOST_PAIRS events: a plain dict takes ever longer to find the first that is left."""

    def add(self, event: Event, noted: Noted) -> None:
        """Note it, and forget the first where there are too many."""
        self[event] = noted
        if len(self) > MOST_PAIRS:
            self.popitem(last=False)


def judge(
    history: History,
    site: Site,
    chosen: bool = False,
    left_out: Callable[[Event], bool] = nothing,
    *,
    mounts: bool = False,
    words: KnownWords = NO_WORDS,
) -> Judgement:
    """Return what is wrong with the locks of a history.

    `site` groups equal findings. Accesses are judged on files that somebody locks, or that two processes write; on all
    that were recorded where the user has `chosen` them. An access that is `left_out` is taken for none. Where a file is
    shared by several `mounts`, what was stored through a mapping must be synced before the unlock. The `words` order
    processes as those do that atomic instructions use.
    """
    return Judge(history, site, chosen, left_out, mounts=mounts, words=words).judge()


class Judge(HeldLocks):
    """What `HeldLocks` follows, and the accesses to data: reads, writes, mappings, names."""

    def __init__(
        self,
        history: History,
        site: Site,
        chosen: bool,
        left_out: Callable[[Event], bool],
        *,
        mounts: bool = False,
        words: KnownWords = NO_WORDS,
    ) -> None:
        super().__init__(history, site)
        self._mounts = mounts
        self._dirty: dict[int, dict[tuple[int, int], Event]] = defaultdict(dict)
        """The pages of files, by number, that each process stored to through a mapping and has not synced."""
        self._is_left_out = left_out
        self._left_out = 0
        self._chosen = chosen
        self._accesses: dict[int, Accesses] = {}
        self._seen = 0
        self._maps: dict[int, list[Event]] = defaultdict(list)
        self._unseen: set[int] = set()
        """Files that were mapped, and the accesses not recorded."""
        self._unordered: list[Unordered] = []
        self._reads: dict[tuple[int, int], deque[Unordered]] = defaultdict(lambda: deque(maxlen=MOST_READS))
        """The last loads of each process and file without a lock, of which it is not known yet what they were for."""
        self._writers: dict[int, set[int]] = defaultdict(set)
        """The processes that stored to each file, other than by appending."""
        self._why = _Last[Cause]()
        self._locks_at = _Last[set[Lock]]()
        """The locks under which loads were made, of the last ones that were made without one on their own file."""
        self._guarded: set[Event] = set()
        """The accesses of processes that had a lock, where some are known by the page alone."""
        self._cuts: dict[int, list[tuple[Event, Event]]] = defaultdict(list)
        """The mappings of each process that another has made the file shorter below, since its last event."""
        self._pieces: list[tuple[Event, Event]] = []
        self._has_lines: set[int] = set()
        self._renames: dict[int, int] = defaultdict(int)
        self._lock_files = self._names_of_lock_files()
        self._words = Words(history.events.of_kinds([Kind.ATOMIC]), self._clocks, words)

    def _calls(self) -> dict[Kind, Callable[[Event], None]]:
        return {
            Kind.START: self._start, Kind.FORK: self._fork, Kind.WAITED: self._waited, Kind.EXIT: self._exit,
            Kind.EXEC: self._exec,
            Kind.OPEN: self._open, Kind.INHERITED: self._inherited, Kind.DUP: self._dup, Kind.CLOSE: self._close,
            Kind.TAKEN: self._taken, Kind.POSIX: self._lock, Kind.OFD: self._lock, Kind.FLOCK: self._lock,
            Kind.READ: self._read, Kind.WRITE: self._write, Kind.TRUNCATE: self._truncate,
            Kind.MAP: self._map, Kind.UNMAP: self._unmap, Kind.RENAME: self._rename, Kind.UNLINK: self._unlink,
            Kind.LOAD: self._load, Kind.STORE: self._store, Kind.ATOMIC: self._store, Kind.OPENED: self._words.opened,
            Kind.PAGE: self._page,
            Kind.SYNCED: self._synced,
            Kind.SEND: self._leave, Kind.LEAVE: self._leave, Kind.RECEIVE: self._enter, Kind.ENTER: self._enter,
        }  # fmt: skip

    def judge(self) -> Judgement:
        """Return what is wrong, and how the locks were used."""
        calls = self._calls()
        for event in self._in_effect():
            self._words.before(event)
            if event.process in self._cuts:
                self._settle_cuts(event)
            if call := calls.get(event.kind):
                call(event)
        judged = self._judged()
        self._at_the_end(judged)
        self._record_rest()
        findings = sorted(folded(self._findings.values()), key=lambda each: (each.is_note, -each.count))
        return Judgement(findings, dict(self._uses), self._seen, self._left_out, judged, self._unseen)

    # -- Names

    def _open(self, event: Event) -> None:
        self._clocks.acquire(event.process, ("name", event.file))
        self._describe(event, Description(event.file))
        name = self._name(event.file)
        if event.other & O_EXCL and event.other & O_CREAT and name in self._lock_files:
            self._grant(event, ("name", name), "lock file", event.file, 0, END, exclusive=True)
        elif event.other & O_TRUNC and event.other & O_ACCMODE != O_RDONLY:
            self._access(event, 0, END, stores=True)
        self._looks_at_replaced(event)

    def _looks_at_replaced(self, event: Event) -> None:
        """Report a process that holds a lock on a file that was replaced, and now uses what is there instead."""
        for hold in self._holds_of(event.process):
            if hold.stale and self._replaced.get(hold.event.file) == self._name(event.file):
                hold.stale = False  # once a hold
                self._found("locked a replaced file", event.file, hold.event, event)

    def _names_of_lock_files(self) -> set[str]:
        """Return the names that are made with O_EXCL and that somebody removes, or finds there."""
        made = {
            self._name(event.file) for event in self._history.events.of_kinds([Kind.OPEN])
            if event.other & O_EXCL and event.other & O_CREAT
        }  # fmt: skip
        gone = {self._name(event.file) for event in self._history.events.of_kinds([Kind.UNLINK, Kind.TAKEN])}
        return made & gone

    def _taken(self, event: Event) -> None:
        self._uses[event.file, "lock file"].refused += 1

    def _unlink(self, event: Event) -> None:
        if event.result:
            return
        name = self._name(event.file)
        if name in self._lock_files:
            self._cut(event, ("name", name), "lock file", event.file, 0, END)
        self._replaced[event.file] = name

    def _rename(self, event: Event) -> None:
        if event.result:
            return
        self._clocks.release(event.process, ("name", event.file))
        names, count = self._history.files[event.file].names, self._renames[event.file]
        name = names[min(count, len(names) - 1)] if names else self._name(event.file)
        self._renames[event.file] += 1
        if event.start >= 0:
            self._replaced[event.start] = name
        self._names[event.file] = name
        self._looks_at_replaced(event)

    # -- Accesses

    def _read(self, event: Event) -> None:
        if event.end > event.start:
            self._access(event, event.start, event.end, stores=False)

    def _write(self, event: Event) -> None:
        if not event.flags & APPENDS:
            self._writers[event.file].add(event.process)
        if event.end <= event.start:
            return
        if event.flags & APPENDS:
            self._append(event)
        self._access(event, event.start, event.end, stores=True)

    def _load(self, event: Event) -> None:
        for start, end in self._words.access(event):
            self._access(event, start, end, stores=False)

    def _store(self, event: Event) -> None:
        if event.kind is Kind.STORE:
            self._writers[event.file].add(event.process)
        for start, end in self._words.access(event):
            self._access(event, start, end, stores=True)
        if self._mounts and not self._is_left_out(event):
            pages = range(event.start // PAGE, -(-event.end // PAGE))
            self._dirty[event.process] |= {(event.file, page): event for page in pages}

    def _synced(self, event: Event) -> None:
        """The pages in this range are in the file, for other mounts to see; msync takes whole pages."""
        dirty = self._dirty[event.process]
        for page in range(event.start // PAGE, -(-event.end // PAGE) if not event.result else 0):
            dirty.pop((event.file, page), None)

    def _lock(self, event: Event) -> None:
        if event.flags & 3 == RELEASED and not event.result:
            for (file, _), store in self._dirty.pop(event.process, {}).items():
                self._found("not synced before the unlock", file, store, event)
        super()._lock(event)

    def _page(self, event: Event) -> None:
        """Some bytes of a page were stored.

        Two that had a lock each may have stored to different ones, as may two that never had any, which perhaps have
        places of their own there or use atomic instructions. One with a lock and one without are taken for a fault.
        """
        self._writers[event.file].add(event.process)
        self._access(event, event.start, event.end, stores=True)

    def _append(self, event: Event) -> None:
        """Report a record that was appended in several pieces, with another process's bytes between them."""
        description = self._described[event.process].get(event.fd)
        if description is None:
            return
        last = description.appended
        description.appended = event
        if event.flags & ENDS_LINE:
            self._has_lines.add(event.file)
        if last is None or last.flags & ENDS_LINE or last.end == event.start or any(self._holds_of(event.process)):
            return
        if len(self._pieces) < MOST_PAIRS:
            self._pieces.append((last, event))

    def _truncate(self, event: Event) -> None:
        self._writers[event.file].add(event.process)
        if event.result:
            return
        for mapping in self._maps.get(event.file, ()):
            if mapping.process != event.process and mapping.end > event.start:
                if mapping.flags & SEEN:
                    self._cuts[mapping.process].append((mapping, event))
                else:  # whether it is used again was not seen
                    self._found("cut below a mapping", event.file, mapping, event)
        self._access(event, event.start, END, stores=True)

    def _settle_cuts(self, event: Event) -> None:
        """Report that a mapping was cut, unless its process unmaps it, or ends, before it does anything else."""
        if event.kind is Kind.CLOSE:
            return
        for mapping, cut in self._cuts.pop(event.process):
            unmapped = event.kind is Kind.UNMAP and (event.file, event.start) == (mapping.file, mapping.start)
            if not unmapped and event.kind is not Kind.EXIT:
                self._found("cut below a mapping", cut.file, mapping, cut)

    def _access(self, event: Event, start: int, end: int, *, stores: bool) -> None:
        self._seen += 1
        if self._is_left_out(event):
            self._left_out += 1
            return
        accesses = self._accesses.setdefault(event.file, Accesses(self._clocks))
        others = list((accesses.store if stores else accesses.load)(event, start, end))
        lost = self._lost_of(event, start, end)
        if lost is not None and lost.cause == "dropped by a close" and lost.by.kind is Kind.CLOSE:
            self._found(lost.cause, event.file, lost.hold.event, lost.by, event)
        holds = list(self._holds_of(event.process))
        here = [hold for hold in holds if hold.event.file == event.file]
        if stores:
            self._stored(event, here, holds)
        if holds:
            self._settle(event, start, end, stores, holds)
        if not here and event.kind in LOADS:
            self._locks_at.add(event, {hold.lock for hold in holds})
        why = self._why_unordered(event, lost, here, holds, stores)
        if why != "no lock":
            self._why.add(event, why)
        if holds and self._history.level == "pages":
            self._guarded.add(event)
        self._pair(event, others, why)

    def _pair(self, event: Event, others: list[Event], why: Cause) -> None:
        """Keep an access with the others that nothing orders with it, but those that lose nothing."""
        for other in dict.fromkeys(others):
            both_empty = {event.kind, other.kind} <= EMPTIES  # two that empty a lock file lose nothing
            had_locks = len({event, other} & self._guarded)
            wants_none = not had_locks and why == self._why.get(other, "no lock") == "no lock"
            may_differ = Kind.PAGE in (event.kind, other.kind) and (had_locks == 2 or wants_none)
            is_told = not {event.kind, other.kind}.isdisjoint(LOADS) and self._words.may_order(other, event)
            if not (event.flags & other.flags & APPENDS or both_empty or may_differ or is_told):
                self._keep(Unordered(other, event, self._why.get(other, "no lock"), why))

    def _settle(self, event: Event, start: int, end: int, stores: bool, holds: list[Hold]) -> None:
        """Note what loads without a lock were for, now that their process has one."""
        if reads := self._reads.get((event.process, event.file)):
            locks = {hold.lock for hold in holds}
            kept = (pair for pair in reads if pair.held.issuperset(locks) or not pair.settle(event, start, end, stores))
            self._reads[event.process, event.file] = deque(kept, MOST_READS)

    def _stored(self, event: Event, here: list[Hold], holds: list[Hold]) -> None:
        """Report a store under no lock, or under the wrong one, where the process has shown that it wants one."""
        refused = self._refused.get((event.process, event.file))
        if refused is not None and not here:
            self._found("went on without the lock", event.file, refused, event)
        if here and not any(hold.exclusive for hold in holds):
            self._found("written under a shared lock", event.file, here[0].event, event)
        for hold in here:
            if hold.stale:
                hold.stale = False  # once a hold
                self._found("locked a replaced file", event.file, hold.event, event)

    def _why_unordered(
        self, event: Event, lost: Lost | None, here: list[Hold], holds: list[Hold], stores: bool
    ) -> Cause:
        if lost is not None:
            return lost.cause
        if event.kind is Kind.OPEN:
            return "emptied before the lock"
        if not here and (event.process, event.file) in self._refused:
            return "went on without the lock"
        if stores and here and not any(hold.exclusive for hold in holds):
            return "written under a shared lock"
        if stores and not holds and (event.process, event.file) in self._unlocked:
            return "written after the unlock"
        return "no lock"

    def _keep(self, pair: Unordered) -> None:
        if len(self._unordered) < MOST_PAIRS:
            self._unordered.append(pair)
            for event in pair.events:
                locks = self._locks_at.get(event)
                if locks is not None:
                    pair.held = locks
                    self._reads[event.process, event.file].append(pair)

    # -- Mappings, and what orders processes beside locks of files

    def _map(self, event: Event) -> None:
        if not event.result and event.other & 1:  # MAP_SHARED
            self._maps[event.file].append(event)
            if not event.flags & SEEN:
                self._unseen.add(event.file)
                self._words.mapped(event)

    def _fork(self, event: Event) -> None:
        super()._fork(event)
        self._words.forked(event)

    def _exit(self, event: Event) -> None:
        super()._exit(event)
        for file, mappings in self._maps.items():
            self._maps[file] = [each for each in mappings if each.process != event.process]

    def _unmap(self, event: Event) -> None:
        self._words.unmapped(event)
        its = self._maps.get(event.file, [])
        for mapping in its:
            if (mapping.process, mapping.start) == (event.process, event.start):
                its.remove(mapping)
                break

    def _leave(self, event: Event) -> None:
        self._clocks.release(event.process, ("channel", event.file), event.start, event.start + 1)

    def _enter(self, event: Event) -> None:
        self._clocks.acquire(event.process, ("channel", event.file), event.start, event.start + 1)

    # -- At the end

    def _at_the_end(self, judged: set[int]) -> None:
        for description, closed, hold in self._kept:
            if description.holders:
                self._found("kept by a child", description.file, hold.event, closed)
        self._opposite_orders()
        for first, second in self._pieces:
            if second.file in self._has_lines:  # records of a fixed length end with any byte
                self._found("appended in pieces", second.file, first, second)
        mixed = self._two_kinds()
        for pair in self._unordered:
            if pair.second.file in judged:
                cause = pair.cause()
                if cause == "no lock" and pair.second.file in mixed:
                    cause = "two kinds of lock"
                self._found(cause, pair.second.file, *pair.told())

    def _judged(self) -> set[int]:
        if self._chosen:
            return set(range(len(self._history.files)))
        locked = {file for file, way in self._uses if way != "lock file"}
        return locked | {file for file, processes in self._writers.items() if len(processes) > 1}

    def _two_kinds(self) -> set[int]:
        """Report the files that some lock by fcntl and others by flock, and return them.

        Neither kind sees the other (flock(2)).
        """
        mixed = set()
        for file, kinds in self._kinds.items():
            if len(kinds) == 2:
                first, second = (next(iter(kinds[way].values())) for way in ("range", "flock"))
                if first.process not in kinds["flock"] and second.process not in kinds["range"]:
                    self._found("two kinds of lock", file, first, second)
                    mixed.add(file)
        return mixed
