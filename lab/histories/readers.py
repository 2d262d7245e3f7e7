"""Read a history from text: JSON lines, Jepsen's EDN, or a log of Jepsen's tests of etcd.

What a broken line has wrong is told with its number. A call is checked against the model at the line it stands in.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from lab.errors import UsageError, printable

from .automaton import OfModel
from .call import UNKNOWN, Call
from .jepsen import Event, edn_events, etcd_events
from .models import MODELS

Format = Literal["jsonl", "jepsen", "etcd"]
FORMATS: tuple[Format, ...] = ("jsonl", "jepsen", "etcd")

FIELDS = ("process", "op", "args", "result", "start_ns", "end_ns", "call")
MOST_NS = 1 << 61


class Line(NamedTuple):
    """A call, and the line that it was read from."""

    number: int
    call: Call


class Broken(Exception):  # noqa: N818 - it becomes an error with the file's name
    """A line is no call; the text says why."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"{number}: {why}")


def read(text: str, name: str, form: Format | None = None) -> list[Line]:
    """Return the calls of a history in this format, or in the one that its text looks like, by their starts.

    Raises UsageError, with `name` and the number of the line, for a line that is broken, and for a text without calls.
    """
    form = form or guessed_format(text)
    reading: dict[Format, Callable[[str], list[Line]]] = {
        "jsonl": _json_lines,
        "jepsen": lambda text: _of_events(edn_events(text)),
        "etcd": lambda text: _of_events(etcd_events(text)),
    }
    try:
        lines = reading[form](text)
    except Broken as error:
        raise UsageError(f"{name}:{printable(str(error))}") from None
    if not lines:
        raise UsageError(f"{name}: has no calls in the format {form}; give another --format, or another file")
    return sorted(lines, key=lambda line: line.call.start)


def guessed_format(text: str) -> Format:
    """Return the format that the beginning of the text looks like."""
    begin = text.lstrip()[:2000]
    if ":invoke" not in begin:
        return "jsonl"
    return "jepsen" if begin[:1] in "{[;(#" else "etcd"


def model_of(lines: Sequence[Line], name: str) -> str:
    """Return the name of the first model that has all the calls.

    A log is tried first where a call gave an empty list: a register to which nothing was appended gives nothing. Raises
    UsageError where no model has the calls.
    """
    shapes = {(line.call.name, len(line.call.args)): line.call for line in lines}
    first = ["log"] if any(line.call.result == () for line in lines) else []
    for known in [*first, *MODELS]:
        specification = OfModel(MODELS[known])
        if not any(specification.misfit(call.name, call.args) for call in shapes.values()):
            return known
    names = ", ".join(sorted({call.name for call in shapes.values()}))
    raise UsageError(f"{name}: no known object has these calls: {printable(names)[:60]}; give --as or --model FILE.py")


def check_fits(lines: Sequence[Line], specification: OfModel, name: str) -> None:
    """Raise UsageError, with the number of the line, for a call that the model does not have."""
    checked: set[tuple[str, int]] = set()
    for line in lines:
        shape = (line.call.name, len(line.call.args))
        if shape in checked:
            continue
        if why := specification.misfit(line.call.name, line.call.args):
            raise UsageError(f"{name}:{line.number}: {printable(why)}")
        checked.add(shape)


def tuples(value: Any) -> Any:
    """Return a value of JSON with tuples for lists: no call can change its arguments."""
    return tuple([tuples(each) for each in value]) if isinstance(value, list) else value


def _json_lines(text: str) -> list[Line]:
    lines: list[Line] = []
    open_calls: dict[tuple[Any, Any], int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        fields = _object(number, line)
        key = (fields.get("process"), fields.get("call"))
        if "op" in fields:
            if "call" in fields and "end_ns" not in fields:
                open_calls[key] = len(lines)
            lines.append(Line(number, _call(number, fields)))
            continue
        if "call" not in fields:
            raise Broken(number, 'has no "op": which call was it')
        if key not in open_calls:
            raise Broken(number, f"ends call {fields['call']!r} of process {fields['process']!r}, which did not begin")
        at = open_calls.pop(key)
        begun = lines[at].call
        ended = {"process": begun.process, "op": begun.name, "start_ns": begun.start, **fields}
        lines[at] = Line(lines[at].number, _call(number, ended)._replace(args=begun.args))
    return lines


class Twice(Exception):  # noqa: N818 - it becomes an error with the line's number
    """An object has a key twice."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON. Raise Twice where a key stands in it twice: nobody knows which value counts."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise Twice(name)
        made[name] = value
    return made


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line, object_pairs_hook=_each_once)
    except Twice as error:
        raise Broken(number, f"has {error.args[0]!r} twice") from None
    except (ValueError, RecursionError) as error:
        if "digits" in str(error):
            raise Broken(number, f"has a number of more than {sys.get_int_max_str_digits():,} digits") from None
        raise Broken(number, f"is no JSON ({getattr(error, 'msg', error)})") from None
    if not isinstance(fields, dict):
        raise Broken(number, "is no JSON object")
    if unknown := [name for name in fields if name not in FIELDS]:
        raise Broken(number, f"has {unknown[0]!r}; a call has {', '.join(FIELDS[:-1])}")
    process = fields.get("process")
    if type(process) not in (int, str):
        raise Broken(number, 'has no "process": a number or a text')
    if type(fields.get("call", 0)) not in (int, str):
        raise Broken(number, 'has a "call" that is neither a number nor a text')
    return fields


def _call(number: int, fields: dict[str, Any]) -> Call:
    name, args = fields["op"], fields.get("args", [])
    if not isinstance(name, str) or not name.isidentifier():
        raise Broken(number, f'has the "op" {name!r}, which is no name')
    start, end = _moment(number, fields, "start_ns"), _moment(number, fields, "end_ns")
    if not isinstance(args, list | tuple):
        raise Broken(number, 'has "args" that are no list')
    if start is None:
        raise Broken(number, 'has no "start_ns"')
    if end is not None and end < start:
        raise Broken(number, f"ends {start - end} ns before it starts")
    result = UNKNOWN if end is None or "result" not in fields else tuples(fields["result"])
    return Call(fields["process"], name, tuple(map(tuples, args)), result, start, end)


def _moment(number: int, fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is not None and (type(value) is not int or abs(value) > MOST_NS):
        raise Broken(number, f'has a "{name}" that is no whole number of nanoseconds')
    return value


def _of_events(events: Iterator[Event]) -> list[Line]:
    """Return the calls of invocations and completions; the moments are their places.

    A call that failed did not happen; one that ends with `info` may have.
    """
    lines: list[Line] = []
    running: dict[Any, int] = {}
    dropped: set[int] = set()
    try:
        for moment, event in enumerate(events):
            if event.kind == "invoke":
                if event.process in running:
                    raise Broken(event.number, f"process {event.process!r} begins a call before its last one ended")
                running[event.process] = len(lines)
                lines.append(Line(event.number, Call(event.process, event.name, event.args, UNKNOWN, moment)))
                continue
            if event.process not in running:
                if event.kind == "info":
                    continue  # of the test itself, such as a partition
                raise Broken(event.number, f"process {event.process!r} ends a call that did not begin")
            at = running.pop(event.process)
            number, call = lines[at]
            if event.kind == "ok":
                lines[at] = Line(number, call._replace(result=event.result, end=moment, args=event.args or call.args))
            elif event.kind == "fail":
                dropped.add(at)
    except ValueError as error:
        raise Broken(*error.args) from None
    return [line for at, line in enumerate(lines) if at not in dropped]
