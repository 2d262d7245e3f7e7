"""Define a call of a recorded history: which process called what, when it began and ended, and what it gave.

A history is linearizable where its calls can be put in an order that explains every result, and in which a call that
ended before another began comes first (Herlihy and Wing, Linearizability, 1990). Times are whole numbers of any clock
that all processes share; a call that begins in the moment in which another ends runs beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from lab.calls import Impossible

__all__ = ["NEVER", "UNKNOWN", "Call", "Impossible", "Unknown", "call_text", "events_of", "value_text"]

NEVER: Final = 1 << 62
"""The end of a call that never came back, where a number is needed."""


class Unknown:
    """The type of UNKNOWN."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "?"


UNKNOWN: Final = Unknown()
"""The result of a call that gave none, or whose result nobody recorded: every result fits."""


class Call(NamedTuple):
    """One call; without an end it may have taken effect at any moment after its start, or never."""

    process: int | str
    name: str
    args: tuple[Any, ...] = ()
    result: Any = UNKNOWN
    start: int = 0
    end: int | None = None

    @property
    def last(self) -> int:
        """Return its end, NEVER where it has none."""
        return NEVER if self.end is None else self.end

    @property
    def open(self) -> bool:
        """Return True where it never came back."""
        return self.end is None


def events_of(calls: Sequence[Call]) -> list[int]:
    """Return the starts and ends in the order of time: the number of a call that begins, ~number where it ends.

    Of one moment the starts come first: the calls then run beside each other. Equal starts, and equal ends, are in the
    order of the calls' numbers. Raises ValueError for a call that ends before it starts.
    """
    if any(call.last < call.start for call in calls):
        raise ValueError("a call ends before it starts")
    events = [(call.start, 0, number) for number, call in enumerate(calls)]
    events += [(call.end, 1, number) for number, call in enumerate(calls) if call.end is not None]
    return [~number if ends else number for _, ends, number in sorted(events)]


def value_text(value: Any, most: int = 40) -> str:
    """Return a value as a reader expects it, cut at so many characters; `nothing` for None."""
    try:
        text = "nothing" if value is None else repr(value)
    except ValueError:  # a number of more digits than Python writes
        text = f"a {type(value).__name__} of very many digits"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def call_text(call: Call, most: int = 40) -> str:
    """Return what was called, without its result: `write(1)`."""
    return f"{call.name}({', '.join(value_text(each, most) for each in call.args)})"
