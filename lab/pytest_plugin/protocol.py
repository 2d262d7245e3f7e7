"""Define the messages between pytest and the interpreter that races: a request, an answer, and how both are sent.

A scenario or a lock of a test is sent as its place in a module, or pickled. Modules that raise failures which concern
only the line of the test set `__tracebackhide__` to `told_by_the_test`.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from base64 import b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from lab.errors import LabError, UsageError
from lab.locking.protocol import kind_of
from lab.records import Exploration, Run, encode

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, slots=True)
class RaceAnswer:
    """The document of a race; `name` is the scenario's name on the command line, empty where it has none.

    `manner` is what the workers did where they met too seldom by themselves, and `raced_s` how many seconds the
    reported race took.
    """

    run: Run
    name: str
    manner: str = ""
    raced_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ExploreAnswer:
    """The document of an exploration; `name` as in `Raced`."""

    run: Exploration
    name: str


def answer_data(answer: RaceAnswer | ExploreAnswer) -> bytes:
    """Return the answer as JSON."""
    head: dict[str, object] = {"name": answer.name}
    if isinstance(answer, RaceAnswer):
        head |= {"manner": answer.manner, "raced_s": answer.raced_s}
    return json.dumps(head)[:-1].encode() + b', "run": ' + encode(answer.run) + b"}"


def is_about_the_test(raised: pytest.ExceptionInfo[BaseException] | None) -> bool:
    """Return True for a failed claim or a wrong request of a test; any other exception is a fault of the plugin.

    The traceback of such an exception is shown in full.
    """
    import pytest

    return raised is not None and raised.errisinstance((AssertionError, LabError, pytest.skip.Exception))


__tracebackhide__ = is_about_the_test

Parcel = dict[str, str]
"""A thing to send, under one key: "name", which the lab looks up; "place", as module:attribute; "pickle", in base64."""


def packed(thing: Any, what: str, home: ModuleType | None) -> Parcel:
    """Return what to send for the thing; `home` is the test's module, where things without a name are looked for.

    A class or a function is sent as its place. An object is sent pickled, with its state; one that cannot be pickled is
    sent as its place where it has one. Raises UsageError for an object that only this process can have.
    """
    if isinstance(thing, str | os.PathLike):
        return {"name": os.fspath(thing)}
    if isinstance(thing, type | FunctionType):
        place = _place_of(thing) or _found_in(home, thing)
    else:
        try:
            return {"pickle": b64encode(pickle.dumps(thing)).decode()}
        except Exception as error:  # its __reduce__ may raise anything
            place, why = _found_in(home, thing), f" ({' '.join(str(error).split())})"
            if not place:
                raise _stays(thing, what, why) from None
    if not place:
        raise _stays(thing, what)
    return {"place": place}


def _place_of(thing: Any) -> str:
    """Return the place that a class or a function names, if it really is there."""
    found: Any = sys.modules.get(thing.__module__)
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return f"{thing.__module__}:{thing.__qualname__}" if found is thing else ""


def _found_in(home: ModuleType | None, thing: object) -> str:
    """Return a global name of the test's module that stands for this very object."""
    for name, value in vars(home).items() if home else ():
        if value is thing:
            return f"{home.__name__}:{name}"  # type: ignore[union-attr]
    return ""


def _stays(thing: Any, what: str, why: str = "") -> UsageError:
    """Return the error for an object that cannot be sent.

    A class or a function needs a place that can be named; a lock that is an object needs code that makes it there.
    """
    name = getattr(thing, "__qualname__", f"{kind_of(thing)} object")
    step = "define it at the top level of a module"
    if what == "lock" and not isinstance(thing, type | FunctionType):
        step = "give what makes one from a path, at the top level of a module: def make_lock(path): return ..."
    return UsageError(f"{what} {name}: cannot be sent to the process that races{why}; {step}")


def local_modules(root: Path) -> dict[str, dict[str, Any]]:
    """Return, by name, the file and the folders of every Python module below this folder that is loaded here.

    In the other interpreter the same name must lead to the same file: under `--import-mode=importlib` no search of
    sys.path finds it.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        folders = [str(folder) for folder in getattr(module, "__path__", ())]
        places = [file] if file else folders
        if places and all(_is_local(place, root) for place in places):
            found[name] = {"file": file, "folders": folders}
    return found


def _is_local(place: str, root: Path) -> bool:
    path = Path(place)
    return path.is_relative_to(root) and "site-packages" not in path.parts and path.suffix in (".py", "")


LONGEST_S = 10.0
"""The time that a race may take, in seconds, where the test gives none.

It ends as soon as it would have noticed the rate that `assert_clean` asks for by itself.
"""

DETECTS = 1e-3
"""The rate of falsely granted requests that `assert_clean` asks for by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRequest:
    """A request to race one case: by `trials`, for `seconds`, or for `about_s`.

    The race takes longer than `about_s` where that shows too little.
    """

    scenario: Parcel
    lock: Parcel
    workers: int
    rounds: int | None
    trials: int | None
    seconds: float | None
    about_s: float
    backing: str | None
    window_ns: int
    leak: float
    seed: int
    directory: str
    time_limit_s: float

    def check(self) -> None:
        """Raise UsageError for a number out of range."""
        _at_least(1, workers=self.workers, rounds=self.rounds, trials=self.trials)
        _at_least(0, window_ns=self.window_ns)
        _positive(seconds=self.seconds, time_limit=self.time_limit_s)
        _whole(seed=self.seed)
        if not isinstance(self.leak, int | float) or not 0 <= self.leak <= 1:
            raise UsageError(f"leak={self.leak!r} is no probability: from 0 to 1")
        if self.trials is not None and self.seconds is not None:
            raise UsageError("trials= and seconds= both say how long to race; give one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreRequest:
    """A request to explore one case."""

    scenario: Parcel
    lock: str
    workers: int
    rounds: int
    search: str
    preemptions: int
    seed: int
    time_limit_s: float

    def check(self) -> None:
        """Raise UsageError for a number out of range."""
        _at_least(1, workers=self.workers, rounds=self.rounds)
        _at_least(0, preemptions=self.preemptions)
        _positive(time_limit=self.time_limit_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRequest:
    """A request to explain a race that broke: its document, as JSON."""

    scenario: Parcel
    run: str


Request = RaceRequest | ExploreRequest | ExplainRequest
KINDS = {kind.__name__: kind for kind in (RaceRequest, ExploreRequest, ExplainRequest)}


def request_data(request: Request) -> dict[str, Any]:
    """Return the request as JSON values."""
    return {"kind": type(request).__name__, **asdict(request)}


def read(values: dict[str, Any]) -> Request:
    """Return the request of these JSON values."""
    return KINDS[values.pop("kind")](**values)


def _at_least(least: int, **numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < least):
            raise UsageError(f"{name}={number!r}: give a whole number, at least {least}")


def _whole(**numbers: int) -> None:
    for name, number in numbers.items():
        if not isinstance(number, int):
            raise UsageError(f"{name}={number!r}: give a whole number")


def _positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int | float) or not 0 < number < 1e6):
            raise UsageError(f"{name}={number!r} is no time: above 0 seconds, below a million")
