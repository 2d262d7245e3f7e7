"""Record the calls of operations in a race: what was called, when it began and ended, and what it gave.

Each worker has a slot for each of its rounds, laid out before the race. A slot has `SLOT` words of 64 bits:

    began_ns, ended_ns (CLOCK_MONOTONIC), the number of the call from 1, the kind of its result, the result

A result that is None, a truth value or a number of 64 bits fits its word. Of others the word has the place among the
bytes that the worker keeps, and the kind their number.

It is written twice. `lab/racing/_calls.c` is built where a compiler is found; `PythonStamps` does the same everywhere,
and takes three times as long. A test holds the two to the same slots.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator
from time import monotonic_ns
from typing import Any

from lab.errors import LabError, ScenarioError
from lab.histories.call import UNKNOWN, Call
from lab.locking import NATIVE
from lab.memory import anonymous
from lab.scenario.operations import call_at, calls_of, check_result

BEGAN, ENDED, NUMBER, KIND, VALUE, SLOT = range(6)
NOTHING, IS_FALSE, IS_TRUE, WHOLE, KEPT = range(1, 6)
"""The kinds of results; KEPT and the number of bytes is the kind of one that `marshal` wrote."""

SLOTS = {
    name: globals()[name]
    for name in ("BEGAN", "ENDED", "NUMBER", "KIND", "VALUE", "SLOT", "NOTHING", "IS_FALSE", "IS_TRUE", "WHOLE", "KEPT")
}
"""The words that `_calls.c` must write to as Python reads them."""

if NATIVE and NATIVE.SLOTS != SLOTS:
    raise ImportError(f"the compiled recorder writes to {NATIVE.SLOTS}, Python reads {SLOTS}; install again")

WORD_BYTES = 8
CONSTANTS = {NOTHING: None, IS_FALSE: False, IS_TRUE: True}
LEAST, MOST = -(1 << 63), (1 << 63) - 1
KEPT_BYTES, SPARE_BYTES = 256, 1 << 20
"""So many bytes of results a worker can keep for each of its rounds, and so many beyond."""

FORM = 2
"""The version of `marshal` whose bytes follow from the value alone."""

RAISED = "raised"
"""A result that begins so is what an operation raised: no model gives it, so no order explains it."""

MOST_RAISED = 200


def raised(error: BaseException) -> str | None:
    """Return the result that stands for what an operation raised.

    None for what is not its own: an error of the lock or of the file, and what ends a process.
    """
    if not isinstance(error, Exception) or isinstance(error, LabError | OSError):
        return None
    return ascii(f"{RAISED} {type(error).__name__}: {error}")[1:MOST_RAISED].removesuffix("'")


class PythonStamps:
    """A recorder that makes calls and writes them into the slots of one worker, `log`; `keep` writes other results."""

    def __init__(
        self, log: memoryview, raised: Callable[[BaseException], str | None], keep: Callable[[int, Any], None]
    ) -> None:
        self._words = log
        self._raised = raised
        self._keep = keep

    def record(self, round_number: int, number: int, make: Callable[[], Any]) -> None:
        """Make a call, which is the one with this number of `calls_of`, and record it. Raises what is not its own."""
        words, at = self._words, round_number * SLOT
        words[at + NUMBER] = number + 1
        words[at + BEGAN] = monotonic_ns()
        try:
            result = make()
            ended_ns = monotonic_ns()
        except BaseException as error:
            ended_ns = monotonic_ns()
            result = self._raised(error)
            if result is None:
                raise
        words[at + ENDED] = ended_ns
        if result is None:
            words[at + KIND] = NOTHING
        elif result is True:
            words[at + KIND] = IS_TRUE
        elif result is False:
            words[at + KIND] = IS_FALSE
        elif type(result) is int and LEAST <= result <= MOST:
            words[at + VALUE] = result & (1 << 64) - 1
            words[at + KIND] = WHOLE
        else:
            self._keep(round_number, result)


Stamps: Callable[..., Any] = NATIVE.Stamps if NATIVE else PythonStamps


class CallLog:
    """The calls of all workers of a trial, in memory that they share with the parent."""

    def __init__(self, kind: Any, workers: int, rounds: int) -> None:
        self._kind = kind
        self._workers = workers
        self._rounds = rounds
        self._words = memoryview(anonymous(workers * rounds * SLOT * WORD_BYTES)).cast("Q")
        self._room = rounds * KEPT_BYTES + SPARE_BYTES
        self._kept = memoryview(anonymous(workers * self._room))

    def recorder(
        self, worker: int, stamps: Callable[..., Any] = Stamps
    ) -> Callable[[int, int, Callable[[], Any]], None]:
        """Return the function that makes and records the calls of this worker; see `PythonStamps.record`.

        It raises ScenarioError for a result that cannot be recorded, or where the worker has no room for more.
        """
        kind, kept, dumps, slots = self._kind, self._kept, marshal.dumps, self._slots_of(worker)
        names = [call.name for call in calls_of(kind)]
        place = worker * self._room
        end = place + self._room

        def keep(round_number: int, result: Any) -> None:
            nonlocal place
            at = round_number * SLOT
            name = names[slots[at + NUMBER] - 1]
            check_result(kind, name, result)
            data = dumps(result, FORM)
            then = place + len(data)
            if then > end:
                raise ScenarioError(
                    f"{kind.__qualname__}.{name} returned too much to record; lower --rounds, or return less"
                )
            kept[place:then] = data
            slots[at + VALUE] = place
            slots[at + KIND] = KEPT + len(data)
            place = then

        record: Callable[[int, int, Callable[[], Any]], None] = stamps(slots, raised, keep).record
        return record

    def calls(self, first: int = 0, end: int | None = None) -> list[Call]:
        """Return the calls that were begun in these rounds; one whose worker died has no end."""
        rounds = range(first, self._rounds if end is None else end)
        return [call for worker in range(self._workers) for call in self._calls_of(worker, rounds)]

    def _slots_of(self, worker: int) -> memoryview:
        words = self._rounds * SLOT
        return self._words[worker * words : (worker + 1) * words]

    def _calls_of(self, worker: int, rounds: range) -> Iterator[Call]:
        slots = self._slots_of(worker)
        for round_number in rounds:
            began, ended, number, kind, value = slots[round_number * SLOT : (round_number + 1) * SLOT]
            if number:
                call = call_at(self._kind, number - 1, worker, round_number * self._workers + worker)
                yield call._replace(result=self._result(kind, value), start=began, end=ended or None)

    def _result(self, kind: int, value: int) -> Any:
        if not kind:
            return UNKNOWN
        if kind == WHOLE:
            return value - (value >> 63 << 64)
        if kind < KEPT:
            return CONSTANTS[kind]
        return marshal.loads(self._kept[value : value + kind - KEPT])  # noqa: S302 - our own
