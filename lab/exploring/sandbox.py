"""End an exploration that a scenario bypasses: with files, mappings, locks, processes or notes of its own.

A proof over `w.memory` says nothing about bytes that a worker reaches in another way. So while the scenario's text
runs, the interpreter's audit events (PEP 578) that show such ways end the exploration, and so do notes that its workers
leave on the scenario object or in its module: in the real world each process has its own.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time
from types import FrameType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

from lab.errors import CannotRunError, ExitCode, LabError, ScenarioError
from lab.processes.deadlines import Limited, TooLong
from lab.scenario import Scenario
from lab.scenario.base import Endless, endless_error, exception_text

EVENTS = {
    "mmap.__new__": "maps memory itself",
    "fcntl.fcntl": "locks by itself",
    "fcntl.lockf": "locks by itself",
    "fcntl.flock": "locks by itself",
    "os.fork": "forks",
    "subprocess.Popen": "starts a program",
    "os.system": "starts a program",
    "os.posix_spawn": "starts a program",
    "os.exec": "starts a program",
    "os.mkdir": "makes a folder",
    "os.rmdir": "removes a folder",
    "os.rename": "renames a file",
    "os.remove": "removes a file",
    "os.link": "links a file",
    "os.symlink": "links a file",
    "os.truncate": "truncates a file",
    "_thread.start_new_thread": "starts a thread",
    "_thread.start_joinable_thread": "starts a thread",
    "socket.__new__": "opens a socket",
}
DATA = (list, dict, set, bytearray, int, float, str, tuple, deque, SimpleNamespace)
"""The types that are compared by their text."""

MODULES = (".py", ".pyc", ".so")
"""The endings of files that an import opens."""

LOOK_S = 0.5
ENDLESS_S, ASLEEP_S = 2.0, 20.0
"""A stretch of the scenario's text between two steps goes on for ever if it has used so many seconds of the processor,
or if it has taken so many seconds, which it sleeps for the most part."""

_watching = [False]
_stretch = [0]
"""The number of stretches so far."""

_hooked: list[bool] = []
_bypassed: list[Bypass] = []


class Bypass(CannotRunError):  # noqa: N818 - a finding about the scenario
    """The scenario reached around `w.memory`."""


def bypass(what: str) -> Bypass:
    """Return the error to raise; it is remembered, in case the scenario catches it."""
    _bypassed.append(
        Bypass(
            f"the scenario {what}: that bypasses w.memory, so the explorer cannot see it and would prove nothing; race "
            "it instead (lab race)"
        )
    )
    return _bypassed[-1]


def _hook(event: str, details: tuple[Any, ...]) -> None:
    if not _watching[0]:
        return
    if event in EVENTS:
        raise bypass(EVENTS[event])
    if event == "open" and not str(details[0]).endswith(MODULES):
        raise bypass(f"opens {details[0]}")


def _no_thread(*arguments: Any) -> Any:
    """Replace `_thread.start_new_thread`, for which Python 3.11 has no audit event."""
    raise bypass("starts a thread")


class Watched:
    """The watch over a scenario's text: within the block such an event raises Bypass where it happens.

    What the scenario prints goes to stderr.
    """

    __slots__ = ("_start", "_stdout")

    def __enter__(self) -> None:
        if not _hooked:
            sys.addaudithook(_hook)
            _hooked.append(True)
        _bypassed.clear()
        self._stdout, sys.stdout = sys.stdout, sys.stderr
        threading: Any = sys.modules.get("threading")
        self._start = getattr(threading, "_start_new_thread", None)
        if self._start:
            threading._start_new_thread = _no_thread
        _stretch[0] += 1
        _watching[0] = True

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        _watching[0] = False
        sys.stdout = self._stdout
        if self._start:
            threading: Any = sys.modules["threading"]
            threading._start_new_thread = self._start
        if _bypassed and kind is None:
            raise _bypassed[0]


def notes(scenario: Scenario) -> dict[str, str]:
    """Return as text what workers could share in the scenario object, its classes, functions and module."""
    kind = type(scenario)
    shared = {f"self.{name}": value for name, value in vars(scenario).items() if name != "Memory"}
    lines = [base for base in kind.__mro__ if issubclass(base, Scenario) and base is not Scenario]
    module = vars(sys.modules.get(kind.__module__, sys))
    for holder in [*lines, *(value for value in module.values() if _is_of(value, kind.__module__))]:
        shared |= {f"{holder.__name__}.{name}": value for name, value in vars(holder).items()}
    shared |= module
    told = {name: _as_text(value) for name, value in shared.items() if "__" not in name}
    return {name: text for name, text in told.items() if text}


def _is_of(value: object, module: str) -> bool:
    """Return True for a class that this module defines, and that lays out no memory: ctypes fills those in."""
    return isinstance(value, type) and value.__module__ == module and not hasattr(value, "_fields_")


def _as_text(value: object) -> str:
    """Return data as text; of a function its defaults and its closure; of anything else the attributes."""
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell.cell_contents is not value]
        kept = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *cells]
        return ", ".join(filter(None, (repr(each) if isinstance(each, DATA) else "" for each in kept)))
    if isinstance(value, DATA):
        return repr(value)
    return repr(vars(value)) if type(value).__module__ not in sys.stdlib_module_names and _has_notes(value) else ""


def _has_notes(value: object) -> bool:
    return hasattr(value, "__dict__") and not isinstance(value, type | ModuleType)


def check_notes(before: dict[str, str], scenario: Scenario) -> None:
    """Raise Bypass where the notes differ from those before."""
    after = notes(scenario)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    if changed:
        raise bypass(f"keeps {', '.join(changed)} beside it, which no two processes share")


class NotDeterministic(ScenarioError):  # noqa: N818 - a finding about the scenario
    """The same experience led a worker to other steps: time, randomness or state of its own decide, not the memory."""

    exit_code = ExitCode.UNABLE


@contextmanager
def stretches_end() -> Iterator[None]:
    """Raise TooLong within the block in a scenario's text that goes on for ever without a step."""
    last, begun_s, used_s = -1, 0.0, 0.0

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal last, begun_s, used_s
        if not _watching[0] or _stretch[0] != last:
            last, begun_s, used_s = _stretch[0] if _watching[0] else -1, monotonic(), process_time()
        elif process_time() - used_s > ENDLESS_S or monotonic() - begun_s > ASLEEP_S:
            raise TooLong

    with Limited(LOOK_S, look):
        yield


def endless(method: str, error: TooLong, limit_s: float = 0.0) -> Endless:
    """Return the error for a method that went on for as long as that, or that took no step for too long."""
    if limit_s:
        return endless_error(method, error, limit_s)
    _, _, where = exception_text(error).partition(" (")
    at = f" ({where}" if where else ""
    return Endless(f"{method} goes on for ever: it took no step for {ENDLESS_S:g} s{at}; fix the file")


def guarded(method: str, call: Callable[[], Any], limit_s: float = 0.0) -> Any:
    """Call what the scenario does outside its rounds; its exception becomes a ScenarioError with its place.

    With a limit it is broken off after so many seconds, which is a ScenarioError too: `Endless`.
    """
    try:
        if not limit_s:
            return call()
        with Limited(limit_s):
            return call()
    except TooLong as error:
        raise endless(method, error, limit_s) from error
    except LabError:
        raise
    except (Exception, SystemExit) as error:
        raise ScenarioError(f"{method} raised {exception_text(error)}; fix the file") from error
