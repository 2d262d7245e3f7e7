"""Define what is sent between a caller and the interpreter that races for it, and ask that interpreter.

It is a fresh one: it races, in a process with one thread, whatever this process is. A request, an answer, and things by
name are sent.

A scenario or a lock is sent as its name, as its place in a module, or by value. Modules that raise failures which
concern only the line of a test set `__tracebackhide__` to `is_about_the_test`.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import re
import sys
from base64 import b64encode
from dataclasses import asdict, dataclass, field
from types import FunctionType, ModuleType, new_class
from typing import Any, Generic, TypeVar

from lab.errors import PACKAGES, STANDARD, CannotRunError, ExitCode, LabError, ScenarioError, UsageError
from lab.locking.protocol import kind_of
from lab.processes.external import Ended, run_interpreter
from lab.records import Document, encode


def is_about_the_test(raised: Any) -> bool:
    """Return True for a failed claim, a wrong request or a skip; any other exception is a fault of the lab itself.

    The traceback of such an exception is shown in full. `raised` is an ExceptionInfo of pytest, which calls this.
    """
    return raised is not None and (raised.errisinstance((AssertionError, LabError)) or raised.typename == "Skipped")


__tracebackhide__ = is_about_the_test

MAIN = "__main__"
"""The module of a notebook's cells, or of a script: no other interpreter can import it."""

OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def as_arguments(text: str) -> str:
    """Return the text with `time_limit=` for `--time-limit`, and so on."""
    return OPTION.sub(lambda found: f"{found[1].replace('-', '_')}=", text)


Parcel = dict[str, str]
"""A thing to send, under one key: "name", which the lab looks up; "place", as module:attribute; "pickle", in base64."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request to perform a verb of `lab.api.verbs` with these arguments, as JSON values.

    Scenarios and locks are sent as parcels.
    """

    verb: str
    arguments: dict[str, Any]
    scenarios: list[Parcel] = field(default_factory=list)
    locks: list[Parcel] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        return asdict(self)


def answer_data(document: Document, names: list[str]) -> bytes:
    """Return the answer as JSON: the document, and the name of each case's scenario on the command line.

    A name is empty where the command line does not find this very scenario.
    """
    return b'{"names": ' + json.dumps(names).encode() + b', "document": ' + encode(document) + b"}"


def packed(thing: Any, what: str, home: ModuleType | None) -> Parcel:
    """Return what to send for the thing; `home` is the caller's module, where things without a name are looked for.

    A class or a function is sent as its place. An object is sent pickled, with its state; one that cannot be pickled is
    sent as its place where it has one. Whatever else is sent by value: what a function or a test defines, lambdas, and
    all of a notebook. Raises UsageError for an object that only this process can have.
    """
    if isinstance(thing, str | os.PathLike):
        return {"name": os.fspath(thing)}
    if isinstance(thing, type | FunctionType):
        place = _place_of(thing)
    else:
        pickled = _pickled(thing)
        if pickled and MAIN.encode() not in pickled:
            return _parcel(pickled)
        place = ""
    place = place or _found_in(home, thing)
    return {"place": place} if place else _parcel(_by_value(thing, what))


def _parcel(pickled: bytes) -> Parcel:
    return {"pickle": b64encode(pickled).decode()}


def _pickled(thing: Any) -> bytes:
    """Return the object pickled; empty where that cannot be done."""
    try:
        return pickle.dumps(thing)
    except Exception:  # its __reduce__ may raise anything
        return b""


def _by_value(thing: Any, what: str) -> bytes:
    """Return the thing pickled with the code that it needs (cloudpickle). Raises UsageError where that fails."""
    from io import BytesIO

    file = BytesIO()
    try:
        _pickler()(file).dump(thing)
    except Exception as error:
        name = getattr(thing, "__qualname__", f"{kind_of(thing)} object")
        step = "make what it holds inside its methods"
        if what == "lock" and not isinstance(thing, type | FunctionType):
            step = "give what makes one from a path: def make_lock(path): return ..."
        why = " ".join(str(error).split())
        raise UsageError(f"{what} {name}: cannot be sent to the process that races ({why}); {step}") from None
    return file.getvalue()


def _pickler() -> Any:
    """Return the class that pickles by value; it knows C structs, whose fields no pickler can read."""
    from cloudpickle import CloudPickler

    class Pickler(CloudPickler):  # type: ignore[misc]
        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, type) and not _place_of(thing):
                if issubclass(thing, ctypes.Array):
                    return _array_of, (thing._type_, thing._length_)
                if issubclass(thing, ctypes.Structure | ctypes.Union):
                    return _struct_of, (thing.__name__, thing.__bases__, _layout_of(thing))
            return super().reducer_override(thing)

    return Pickler


LAYOUT = ("__module__", "__qualname__", "__doc__", "_pack_", "_align_", "_anonymous_", "_fields_")


def _layout_of(kind: Any) -> dict[str, Any]:
    """Return what a C struct is made from; its functions and constants, but not the fields that ctypes adds."""
    fields = {each[0] for each in vars(kind).get("_fields_", ())}
    own = {name: value for name, value in vars(kind).items() if name in LAYOUT or not name.startswith("_")}
    return {name: value for name, value in own.items() if name not in fields}


def _array_of(kind: Any, length: int) -> Any:
    return kind * length


def _struct_of(name: str, bases: tuple[type, ...], layout: dict[str, Any]) -> Any:
    return new_class(name, bases, exec_body=lambda body: body.update(layout))


def _place_of(thing: Any) -> str:
    """Return the place that a class or a function names, if it really is there, for another interpreter too."""
    if thing.__module__ == MAIN:
        return ""
    found: Any = sys.modules.get(thing.__module__)
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return f"{thing.__module__}:{thing.__qualname__}" if found is thing else ""


def _found_in(home: ModuleType | None, thing: object) -> str:
    """Return a global name of the caller's module that stands for this very object."""
    if home is None or home.__name__ == MAIN:
        return ""
    return next((f"{home.__name__}:{name}" for name, value in vars(home).items() if value is thing), "")


def local_modules() -> dict[str, dict[str, Any]]:
    """Return, by name, the file and the folders of every Python module that is loaded here and installed nowhere.

    In the other interpreter the same name must lead to the same file: under pytest's `--import-mode=importlib` no
    search of sys.path finds it.
    """
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        folders = [str(folder) for folder in getattr(module, "__path__", ())]
        places = [file] if file else folders
        if name != MAIN and places and all(map(_is_local, places)):
            found[name] = {"file": file, "folders": folders}
    return found


def _is_local(place: str) -> bool:
    inside = place.startswith(("<", STANDARD)) or PACKAGES in place
    return not inside and os.path.splitext(place)[1] in (".py", "")  # noqa: PTH122 - thousands of them


ERRORS: dict[int, type[LabError]] = {error.exit_code: error for error in (UsageError, CannotRunError, ScenarioError)}
START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lab.api.server import main
sys.exit(main())
"""
"""The program of the other interpreter, which finds modules where this one does, also the lab itself."""

Record = TypeVar("Record", bound=Document)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Record]):
    """A document, and the name of each case's scenario on the command line; empty where it does not find that one."""

    names: list[str]
    document: Record


class HelperError(LabError):
    """The process that should have raced ended without an answer."""

    exit_code = ExitCode.FAILED


def ask(request: Request, record: type[Record]) -> Answer[Record]:
    """Return the answer of the fresh interpreter; what its workers printed goes to stderr.

    Raises the LabError that was raised there, and HelperError where there is no answer.
    """
    import msgspec

    message = {
        "parent": os.getpid(),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "modules": local_modules(),
        "request": request.data(),
    }
    paths = [path for path in sys.path if isinstance(path, str)]
    try:
        ended = run_interpreter(["-c", START, json.dumps(paths)], json.dumps(message).encode())
    except OSError as error:
        raise CannotRunError(f"no process to race in ({error.strerror}); raise the limits (ulimit -u, -n)") from error
    if ended.code == 0 or (ended.code in ERRORS and ended.stdout):
        sys.stderr.write(ended.stderr.decode(errors="replace"))
    if ended.code == 0:
        return msgspec.json.decode(ended.stdout, type=Answer[record])  # type: ignore[valid-type]
    raise _error(ended)


def _error(ended: Ended) -> LabError:
    if ended.code in ERRORS and ended.stdout:
        return ERRORS[ended.code](as_arguments(ended.stdout.decode(errors="replace")))
    how = f"exit code {ended.code}" if ended.code >= 0 else f"signal {-ended.code}"
    stderr = ended.stderr.decode(errors="replace").rstrip()
    wrote = f"what it wrote to stderr:\n{stderr}" if stderr else "it wrote nothing to stderr"
    return HelperError(f"the process that races ended with {how} and no answer; {wrote}")
