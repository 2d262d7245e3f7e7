"""Define the document of a judged history of calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .common import Document

HistoryVerdict = Literal["linearizable", "not linearizable", "unknown"]


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """The options of a judgement: the names of the files of the history and of the model, and the limits.

    `model` is the name of a known object, or the path of a file with a class `Model`. `format` is how the history was
    written: in `jepsen` and `etcd` the moments are no times, they number the beginnings and ends of the calls.
    """

    file: str
    model: str
    time_limit_s: float
    format: Literal["jsonl", "jepsen", "etcd"] = "jsonl"


@dataclass(frozen=True, slots=True)
class HistoryCall:
    """One call: which process made it, as text what it called and what that gave, and when, in ns.

    The moments are those of the history. `end_ns` is None for a call that never came back; `result` is then empty, as
    where no result was recorded.
    """

    process: str
    call: str
    result: str
    start_ns: int
    end_ns: int | None


@dataclass(frozen=True, slots=True)
class RefutedOrder:
    """An order of calls, by their places in a list, from 0, up to one that `would_give` another result than it gave.

    The text is empty where that call cannot return. The object begins in the state `start`; empty: in any that it may.
    """

    calls: list[int]
    would_give: str
    start: str = ""


@dataclass(frozen=True, slots=True)
class HistoryCore:
    """The smallest part of the history that no order explains, by the starts of the calls.

    `calls` contradict each other; `any_time` are calls that may have happened at any moment, or never, and are needed
    to say so. All the others are left out: with them there is no order either. `orders` are the longest orders of both,
    `any_time` after `calls`, up to where they fail; `orders_left_out` is how many more there are. `smallest` is false
    where the time was over before that was found. Where `starts` is not 0, no order explains the calls in whichever of
    so many states the object was when they began.
    """

    calls: list[HistoryCall]
    any_time: list[HistoryCall]
    orders: list[RefutedOrder]
    orders_left_out: int = 0
    smallest: bool = True
    starts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class History(Document):
    """One invocation of `history`: is there an order of the calls that explains every result.

    `open_calls` never came back. Each of the `parts` of the object, such as a key of a map, is judged by itself:
    `exact_parts` by what the values tell, `searched_parts` by a search, which visited `configurations` and met
    `states`. `part` is the one that is not linearizable, or the first that was not decided. `why` is the reason of an
    exact answer. Of a verdict `unknown`, `undecided` is the number of parts that were not decided, and `limit` what was
    used up: `time` or `memory`.
    """

    command: Literal["history"] = "history"
    options: HistoryOptions
    verdict: HistoryVerdict
    calls: int
    open_calls: int
    processes: int
    parts: int
    exact_parts: int
    searched_parts: int
    configurations: int
    states: int
    wall_s: float
    part: str = ""
    why: str = ""
    core: HistoryCore | None = None
    undecided: int = 0
    limit: str = ""
    helps: list[str] = field(default_factory=list)
