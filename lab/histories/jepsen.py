"""Read what Jepsen writes: histories in EDN (https://github.com/edn-format/edn), and logs of its tests of etcd.

Of EDN it reads as much as a history needs; tagged values are read without their tag. Errors are ValueErrors of the
number of a line and a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from .call import UNKNOWN

TOKEN = re.compile(r'[\s,]+|;[^\n]*|(#_|#\{|[\[\](){}]|"(?:\\.|[^"\\])*"|#[\w./-]+|[^\s,\[\](){}";]+)|(.)', re.DOTALL)
CLOSING = {"[": "]", "(": ")", "{": "}", "#{": "}"}
SKIPPED = "#_"
DEEPEST = 100
WORDS = {"nil": None, "true": True, "false": False}

TAKES_NOTHING = ("read", "get", "take", "deq", "dequeue", "pop", "acquire", "release", "lock", "unlock")
WITHOUT_RESULT = ("write", "put", "append", "enq", "enqueue", "push", "add", *TAKES_NOTHING[-4:])
"""Calls of which Jepsen repeats the argument where the result would be."""


class Event(NamedTuple):
    """The beginning (`invoke`) or the end (`ok`, `fail`, `info`) of a call, and the line that it stands in."""

    number: int
    process: Any
    kind: str
    name: str
    args: tuple[Any, ...] = ()
    result: Any = UNKNOWN


class Map(dict[Any, Any]):
    """A map, and the line in which it begins."""

    line = 0


class _Tokens:
    """The tokens of a text, with their lines."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[int, str]] = []
        number, counted = 1, 0
        for found in TOKEN.finditer(text):
            if found[2]:
                raise ValueError(number + text.count("\n", counted, found.start()), f"has a stray {found[2]}")
            if found[1]:
                number += text.count("\n", counted, found.start())
                counted = found.start()
                self._tokens.append((number, found[1]))
        self._tokens.reverse()

    @property
    def left(self) -> bool:
        """Return True where there are more."""
        return bool(self._tokens)

    def value(self, deep: int = 0) -> Any:
        """Read one value; DISCARDED for one that is marked as left out."""
        number, token = self._tokens.pop()
        if deep > DEEPEST:
            raise ValueError(number, "is nested too deeply")
        if token in CLOSING:
            return self._collection(number, token, deep)
        if token in CLOSING.values():
            raise ValueError(number, f"has a {token} too many")
        if token[0] == "#":
            if not self._tokens:
                raise ValueError(number, "ends in the middle of a value")
            value = self.value(deep + 1)
            return DISCARDED if token == SKIPPED else value
        return _atom(token)

    def _collection(self, number: int, opened: str, deep: int) -> Any:
        values = []
        while self._tokens and self._tokens[-1][1] != CLOSING[opened]:
            value = self.value(deep + 1)
            if value is not DISCARDED:
                values.append(value)
        if not self._tokens:
            raise ValueError(number, f"has a {opened} that nothing closes")
        self._tokens.pop()
        if opened == "#{":
            return frozenset(values)
        if opened != "{":
            return tuple(values)
        if len(values) % 2:
            raise ValueError(number, "has a map with a key that has no value")
        try:
            made = Map(zip(values[::2], values[1::2], strict=True))
        except TypeError:
            raise ValueError(number, "has a map as a key") from None
        made.line = number
        return made


DISCARDED = object()


def _atom(token: str) -> Any:
    if token[0] == '"':
        escapes = {"n": "\n", "t": "\t", "r": "\r"}
        return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), token[1:-1], flags=re.DOTALL)
    if token in WORDS:
        return WORDS[token]
    for kind in (int, float):
        try:
            return kind(token.rstrip("NM") if token[-1:] in "NM" and token[:-1] else token)
        except ValueError:
            continue
    return token


def edn_events(text: str) -> Iterator[Event]:
    """Yield the events of a history: maps, or one vector of them, or a map with a :history.

    Only processes with a number are clients; Jepsen's nemesis has none. With a :key beside it, an empty text is nothing
    there, as Porcupine reads its histories of a map.
    """
    tokens = _Tokens(text)
    while tokens.left:
        value = tokens.value()
        if isinstance(value, Map) and ":history" in value:
            value = value[":history"]
        for each in value if isinstance(value, tuple) else [value]:
            if isinstance(each, Map) and isinstance(each.get(":process"), int):
                yield _edn_event(each.line, each)


def _edn_event(number: int, fields: Map) -> Event:
    kind, name, value = str(fields.get(":type"))[1:], str(fields.get(":f")).lstrip(":"), fields.get(":value")
    if kind not in ("invoke", "ok", "fail", "info"):
        raise ValueError(number, f"has the :type {fields.get(':type')}, and not :invoke, :ok, :fail or :info")
    key: tuple[Any, ...] = ()
    if isinstance(fields.get(":key"), str | int):
        key = (fields[":key"],)
    if kind == "invoke":
        return Event(number, fields[":process"], kind, name, key + _arguments(name, value))
    result = None if name in WITHOUT_RESULT or (key and value == "") else True if name == "cas" else value
    return Event(number, fields[":process"], kind, name, result=result)


def _arguments(name: str, value: Any) -> tuple[Any, ...]:
    if name in TAKES_NOTHING:
        return ()
    return value if name == "cas" and isinstance(value, tuple) else () if value is None else (value,)


ETCD = re.compile(r"INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(.*)$")


def etcd_events(text: str) -> Iterator[Event]:
    """Yield the events of a log of Jepsen's tests of etcd, as Porcupine reads them.

    A `cas` that failed with its values was made, and did not find the old one; a read that timed out did no harm.
    """
    for number, line in enumerate(text.split("\n"), 1):
        found = ETCD.match(line)
        if not found:
            continue
        process, kind, name, value = found.groups()
        numbers = tuple(map(int, re.findall(r"-?\d+", value))) if value[:1] != ":" else ()
        if kind == "invoke":
            yield Event(number, int(process), kind, name, () if name == "read" else numbers)
        elif name == "cas" and (kind == "ok" or (kind == "fail" and value.startswith("["))):
            yield Event(number, int(process), "ok", name, result=kind == "ok")
        elif kind == "fail" and name != "read":
            yield Event(number, int(process), "info", name)  # it may have been made all the same
        else:
            result = numbers[0] if name == "read" and numbers else None
            yield Event(number, int(process), kind, name, result=result)
