"""Record the calls of a program of yours as a history, which `lab history` judges.

    from lab.calls import Calls

    calls = Calls("history.jsonl")
    with calls.call("write", 5):
        store.write(5)
    with calls.call("read") as call:
        call.result = store.read()

Every process and thread appends to the one file: a line when a call begins, and one when it ends. Of a process that
is killed between the two, the history has an open call: it may have taken effect, or not.
"""

from __future__ import annotations

import json
import os
from _thread import get_native_id
from collections.abc import Callable
from functools import wraps
from inspect import signature
from itertools import count
from time import monotonic_ns
from typing import Any, ParamSpec, TypeVar

__all__ = ["Calls", "Impossible", "Recorded"]

P = ParamSpec("P")
R = TypeVar("R")


class Impossible(Exception):  # noqa: N818 - it is no error: a model says so of a call and a state
    """A method of a model raises it where the call cannot return in this state, as `acquire` of a held mutex."""


_numbers = count(1)
"""The numbers of the calls of this process, in all its histories; threads may ask for one at once."""


class Recorded:
    """One call while it runs, to be used in a `with`; set `result` to what it gave.

    Where the block raises, the call stays open: nobody knows whether it took effect. Where that is known, catch the
    exception in the block and set the result. A result that is no value of JSON raises TypeError; the call stays open.
    """

    __slots__ = ("_calls", "_head", "_name", "_text", "result")

    def __init__(self, calls: Calls, name: str, args: tuple[Any, ...]) -> None:
        self.result: Any = None
        self._calls = calls
        self._name = name
        self._text = f'"op": {json.dumps(name)}, "args": {_written(args, name, "arguments")}}}'

    def __enter__(self) -> Recorded:
        self._head = f'{{"process": {get_native_id()}, "call": {next(_numbers)}, '
        start = monotonic_ns()
        self._calls._write(f'{self._head}"start_ns": {start}, {self._text}\n')
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            end = monotonic_ns()
            result = _written(self.result, self._name, "result")
            self._calls._write(f'{self._head}"end_ns": {end}, "result": {result}}}\n')


def _written(value: Any, name: str, what: str) -> str:
    """Return a value as JSON. Raises TypeError where it is none."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"the {what} of {name}: no value of JSON ({error}); record numbers, texts, and lists or dicts of them"
        ) from error


class Calls:
    """The history in a file: JSON lines, each written whole by one write(2) in append mode.

    Processes may share the object over a fork, or open the path again; threads may share it. Lines are added to what
    the file has, so remove an old one first. The file must be on a filesystem of this machine: over NFS, appends of
    several hosts overwrite each other, and the clocks of hosts differ. Arguments and results must be values of JSON.

    Raises OSError where the file cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def call(self, name: str, *args: Any) -> Recorded:
        """Return a call to be made in a `with`. Raises TypeError for arguments that are no values of JSON."""
        return Recorded(self, name, args)

    def record(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: each of its calls is recorded, by its name, with its arguments and its result."""
        parameters = signature(function)

        @wraps(function)
        def recorded(*args: P.args, **named: P.kwargs) -> R:
            bound = parameters.bind(*args, **named)  # the arguments in the order of the definition
            with self.call(function.__name__, *bound.args, *bound.kwargs.values()) as call:
                call.result = result = function(*args, **named)
            return result

        return recorded

    def close(self) -> None:
        """Close the file; every line is in it already."""
        os.close(self._descriptor)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: str) -> None:
        content = line.encode()
        if os.write(self._descriptor, content) != len(content):
            raise OSError(f"{self.path}: a line was written in part; make room there")
