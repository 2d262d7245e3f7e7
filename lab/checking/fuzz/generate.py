"""Generate random programs: turn a few small numbers into a call that makes sense at this point of the program.

Every list of numbers is a program: each number counts modulo the number of choices. Smaller numbers mean simpler
calls, so that shrinking the numbers shrinks the program. One program uses byte-range locks or flock locks: whether
the two see each other on one file is left open (flock(2), "NFS details").
"""

from __future__ import annotations

from collections.abc import Collection, Container
from typing import TYPE_CHECKING, NamedTuple

from lab.checking.language import GET, Call

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

ACTORS = "ABCD"
FILES = ("f",) * 5 + ("g",)
BYTES = 10
LENGTHS = (1, 2, 3, 4, 6, 0, 12, -2)
MODES = ("rw",) * 6 + ("r", "w")
KINDS = ("write", "read", "unlock", "unlock", "write", "unlock")
FLOCK_KINDS = {"write": "exclusive", "read": "shared", "unlock": "unlock"}
LOCKS = {
    "posix": ("F_SETLK", "F_SETLKW", "F_SETLK", "F_GETLK", "F_SETLKW"),
    "ofd": ("F_OFD_SETLK", "F_OFD_SETLKW", "F_OFD_SETLK", "F_OFD_GETLK", "F_OFD_SETLKW"),
    "flock": ("", "wait", ""),
}
FAMILIES = tuple(LOCKS)
LIFE = ("close", "close", "dup", "open", "fork", "fork", "exit", "killed", "close", "dup")
SORTS = ("posix",) * 12 + ("ofd",) * 6 + ("life",) * 4
WHOLE_SORTS = ("flock",) * 4 + ("life",)
"""The relative frequency of each sort of call; `life` is that of descriptors and processes."""

THEMES = 6
"""One program in this many uses flock locks."""

TO_WAITERS = ("interrupted", "killed")
SPARED = 12
"""The number of calls that would meet a waiting actor: two of them act on it, another actor makes the others."""

MOST_OPEN = 4
MOST_CALLS = 40
"""The most calls in each of the three parts of a program."""


class Numbers(NamedTuple):
    """The numbers of one call; `of` chooses the call of its sort, `kind` the type of a lock or the mode of an open."""

    sort: int
    of: int
    actor: int
    descriptor: int
    kind: int
    start: int
    length: int


LARGEST = Numbers(len(SORTS) * len(WHOLE_SORTS) - 1, 83, 3, 3, 23, BYTES - 1, len(LENGTHS) - 1)


class Program(NamedTuple):
    """A program: the number of actors, its theme of the `THEMES`, and its calls."""

    cast: int
    theme: int
    calls: list[Numbers]


def programs() -> SearchStrategy[Program]:
    """Return a strategy for all programs; calls are drawn in three parts, since one list is too short."""
    from hypothesis.strategies import builds, integers, lists, tuples

    calls = lists(tuples(*(integers(0, most) for most in LARGEST)), max_size=MOST_CALLS)
    return builds(
        lambda cast, theme, *parts: Program(cast, theme, [Numbers(*each) for part in parts for each in part]),
        integers(2, len(ACTORS)),
        integers(0, THEMES - 1),
        *[calls] * 3,
    )


class Drawing:
    """A program as far as it has been drawn: the actors that live, and the descriptors of each."""

    def __init__(self, program: Program, families: Collection[str]) -> None:
        self._cast = ACTORS[: program.cast]
        whole = "flock" in families and (program.theme == THEMES - 1 or len(families) == 1)
        self._sorts = [sort for sort in (WHOLE_SORTS if whole else SORTS) if sort == "life" or sort in families]
        self._open: dict[str, dict[str, str]] = {}
        """The file behind each descriptor of each actor that has made a call."""
        self._dead: set[str] = set()

    def call(self, numbers: Numbers, waiting: Container[str]) -> Call | None:
        """Return the call that the numbers mean now, or None when no actor is left to make one."""
        living = [name for name in self._cast if name not in self._dead]
        if not living:
            return None
        first = living[numbers.actor % len(living)]
        free = [name for name in living if name not in waiting]
        if first in waiting and (numbers.of % SPARED < len(TO_WAITERS) or not free):
            return Call(first, TO_WAITERS[numbers.of % len(TO_WAITERS)], ())
        actor = first if first in free else free[numbers.actor % len(free)]
        sort = self._sorts[numbers.sort % len(self._sorts)]
        return self._life(actor, numbers) if sort == "life" else self._lock(actor, sort, numbers)

    def done(self, call: Call) -> None:
        """Record that the call has succeeded."""
        mine = self._open.setdefault(call.actor, {})
        if call.verb in ("exit", "killed"):
            self._dead.add(call.actor)
        elif call.verb == "open":
            mine[call.args[2]] = call.args[0]
        elif call.verb == "dup":
            mine[call.args[2]] = mine[call.args[0]]
        elif call.verb == "close":
            del mine[call.args[0]]
        elif call.verb == "fork":
            self._open[call.args[0]] = dict(mine)

    def _life(self, actor: str, numbers: Numbers) -> Call:
        verb = LIFE[numbers.of % len(LIFE)]
        mine = self._open.get(actor, {})
        child = next((name for name in self._cast if name not in self._open), None)
        if not mine or (verb == "open" and len(mine) < MOST_OPEN):
            return self._opening(actor, FILES[numbers.start % len(FILES)], numbers)
        if verb == "fork" and child:
            return Call(actor, "fork", (child,))
        if verb in ("exit", "killed"):
            return Call(actor, verb, ())
        known = _chosen(list(mine), numbers)
        if verb == "dup" and len(mine) < MOST_OPEN:
            return Call(actor, "dup", (known, "as", self._new_name(actor, mine[known])))
        return Call(actor, "close", (known,))

    def _lock(self, actor: str, sort: str, numbers: Numbers) -> Call:
        mine = list(self._open.get(actor, ()))
        if not mine:
            return self._opening(actor, FILES[0], numbers)
        verb = LOCKS[sort][numbers.of % len(LOCKS[sort])]
        asks = verb in ("wait", "F_SETLKW", "F_OFD_SETLKW") or verb in GET
        kind = KINDS[numbers.kind % (2 if asks else len(KINDS))]
        name = _chosen(mine, numbers)
        if sort == "flock":
            return Call(actor, "flock", (name, FLOCK_KINDS[kind], *([verb] if asks else [])))
        return Call(actor, verb, (name, kind, str(numbers.start % BYTES), str(LENGTHS[numbers.length % len(LENGTHS)])))

    def _opening(self, actor: str, file: str, numbers: Numbers) -> Call:
        mode = MODES[numbers.kind % len(MODES)] if "posix" in self._sorts or "ofd" in self._sorts else "rw"
        return Call(actor, "open", (file, "as", self._new_name(actor, file), mode))

    def _new_name(self, actor: str, file: str) -> str:
        mine = self._open.get(actor, {})
        return next(name for name in (file, *(f"{file}{n}" for n in range(2, 99))) if name not in mine)


def _chosen(names: list[str], numbers: Numbers) -> str:
    return names[numbers.descriptor % len(names)]
