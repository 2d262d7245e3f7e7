"""Run in the interpreter that races for a caller: it reads one request, writes one answer, and ends.

The request is JSON on stdin. The answer goes to the original stdout: a document with a little more (`answer_data`), and
0 as exit code; or the text of a LabError, and its exit code. What the scenario and the lock print goes to stderr.
Nothing is imported before the race that forks would pay for, except the caller's own modules, which are loaded from the
same files.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from base64 import b64decode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from lab.errors import ExitCode, LabError, UsageError, error_line
from lab.exploring.beside_race import explain
from lab.exploring.crash.script import read_any
from lab.exploring.token import read, scenario_of
from lab.locking import Lock, find_lock
from lab.locking.adapters import Adapted
from lab.locking.registry import MODELLED, give, lock_of
from lab.processes import Descendants, Terminated, stops_interrupt
from lab.processes.external import end_with
from lab.records import Case as Row
from lab.records import Document, Exploration, Run
from lab.records.common import Header
from lab.scenario import Found, Scenario, find_scenarios
from lab.scenario.find import check_attributes, check_complete, describe, kinds_of

from . import verbs
from .examples import Failure
from .pacing import DETECTS, Pace
from .protocol import MAIN, Parcel, Request, answer_data


class SameFiles:
    """An import finder for the test's own modules: their names lead to the files that they have in pytest's process."""

    def __init__(self, modules: Mapping[str, Mapping[str, Any]]) -> None:
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder; None for all other modules."""
        known = self._modules.get(name)
        if known is None:
            return None
        if known["file"]:
            return spec_from_file_location(name, known["file"], submodule_search_locations=known["folders"] or None)
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = known["folders"]
        return spec


def unpack(sent: Parcel, what: str) -> Any:
    """Return the object that was sent. Raises UsageError where its module does not load here, or no longer has it."""
    try:
        if "pickle" in sent:
            return pickle.loads(b64decode(sent["pickle"]))  # noqa: S301 - of our own parent
        module, _, path = sent["place"].partition(":")
        thing: Any = import_module(module)
        for part in path.split("."):
            thing = getattr(thing, part)
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # pytest.skip at the top of a module is no Exception
        raise UsageError(
            f"{what}: cannot be made in the process that races ({error_line(error)}); its module is loaded there anew, "
            "without fixtures and conftest: fix its imports"
        ) from error
    return thing


def lock_from(sent: Parcel) -> Lock:
    """Return the lock that was named or sent. Raises UsageError where it is no lock."""
    if "name" in sent:
        return find_lock(sent["name"])
    thing = unpack(sent, "lock")
    called = getattr(getattr(thing, "func", thing), "__name__", None) or getattr(thing, "name", type(thing).__name__)
    name = sent.get("place", str(called)).rpartition(":")[2]
    return lock_of("adapted" if name == "<lambda>" else name, thing)


def scenario_from(sent: Parcel) -> Found:
    """Return the scenario that was named or sent; an object with state becomes a class that makes copies of it."""
    if "name" in sent:
        return find_scenarios([sent["name"]])[0]
    thing = unpack(sent, "scenario")
    if isinstance(thing, type):
        return _checked(_described(thing))
    found = _checked(_described(type(thing)))
    return _checked(Found(found.name, _copying(thing), found.summary, found.path)) if vars(thing) else found


def _checked(found: Found) -> Found:
    check_attributes(found.kind, f"scenario {found.name}")
    check_complete(found.kind, f"scenario {found.name}")
    return found


def _described(kind: type[Scenario]) -> Found:
    """Return the class under the name by which the command line finds it in its file.

    One that was sent by value is in no file that could be loaded: it has its own name.
    """
    if kind.__module__ == MAIN or "<locals>" in kind.__qualname__:
        (found,) = describe(kind.__name__, [kind], kind.__doc__, Path())
        return found
    module = import_module(kind.__module__)
    path = Path(getattr(module, "__file__", None) or kind.__module__)
    every = {found.kind: found for found in describe(path.stem, kinds_of(module) or [kind], module.__doc__, path)}
    return every.get(kind) or Found(kind.__name__, kind, "", path)


def _copying(scenario: Scenario) -> type[Scenario]:
    """Return a class like the scenario's own that makes copies of this object; its settings are those of the object."""
    settings = {name: value for name, value in vars(scenario).items() if hasattr(Scenario, name)}
    kind = type(scenario)
    same = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    made = type(kind.__name__, (kind,), {**same, **settings, "__new__": lambda _: copy(scenario)})
    return cast("type[Scenario]", made)


def command_name(found: Found) -> str:
    """Return the name by which the command line finds this very scenario; empty where it does not find it."""
    from lab.exploring.token import where

    if found.path == Path():  # it was sent by value
        return ""
    name = where(found)
    try:
        again = find_scenarios([name])[0].kind
    except LabError:
        return ""
    same = again.__qualname__ == found.kind.__qualname__ and not _is_copying(found.kind)
    return name if same else ""


def _is_copying(kind: type[Scenario]) -> bool:
    return getattr(sys.modules.get(kind.__module__), kind.__name__, kind) is not kind


def main() -> int:
    """Perform the request; return the exit code."""
    message = json.load(sys.stdin)
    end_with(message["parent"])
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.dont_write_bytecode = message["dont_write_bytecode"]
    sys.meta_path.insert(0, SameFiles(message["modules"]))
    try:
        with stops_interrupt(), Descendants():
            code, text = _answer(Request(**message["request"]))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    with os.fdopen(answer, "wb") as stream:
        stream.write(text)
    return code


def _answer(request: Request) -> tuple[int, bytes]:
    try:
        document, names = explain_race(request) if request.verb == "explain" else perform(request)
    except LabError as error:
        return error.exit_code, str(error).encode("utf-8", "replace")
    if isinstance(document, Header) and document.interrupted:
        raise KeyboardInterrupt
    return 0, answer_data(document, names)


def perform(request: Request) -> tuple[Document, list[str]]:
    """Do what the command of this name does; return its record, and the name of each case's scenario for a user.

    Raises LabError for what cannot be found or done; errors in a race itself are part of its result.
    """
    found = [scenario_from(sent) for sent in request.scenarios]
    arguments = dict(request.arguments)
    if request.verb != "check" and "lock" in arguments:
        arguments["lock"] = _names_of(request.locks) or None
    if way := arguments.pop("reach", None):
        from lab.hosts.links import reach_to

        arguments["reach"] = reach_to(**way)
    failed = [Failure(**each) for each in arguments.pop("first", ())]
    if request.verb == "race":
        pace = Pace(arguments.pop("seconds"), arguments.pop("about_s"), arguments["detects"] or DETECTS, failed)
        arguments["race_case"] = None if arguments["trials"] or way else pace.race_case
    if request.verb in ("race", "explore"):
        found = found or find_scenarios([])
        if request.verb == "explore":
            arguments["first"] = _tokens(failed)
        job = verbs.VERBS[request.verb](found, **arguments)
    elif request.verb == "replay":
        job = verbs.replay(**arguments, found=found[0] if found else _pinned(arguments["token"]))
    else:
        job = verbs.VERBS[request.verb](**arguments)
    document = job.perform(_tell_nobody)
    return document, _names(document, found)


def _tokens(failed: Sequence[Failure]) -> dict[str, list[str]]:
    """Return the tokens of the failures by their scenarios; what is no token is left out."""
    tokens: dict[str, list[str]] = {}
    for each in failed:
        with suppress(UsageError):
            read(each.token)
            tokens.setdefault(each.scenario, []).append(each.token)
    return tokens


def _pinned(token: str) -> Found:
    """Return the scenario that the token names. Raises UsageError where it is gone, has changed, or was never named."""
    try:
        return scenario_of(read_any(token))
    except UsageError as error:
        step = "; give the class or the object as scenario=" if str(error).startswith("unknown scenario") else ""
        raise UsageError(f"{error}{step}") from error


def _names_of(sent: Sequence[Parcel]) -> list[str]:
    """Return the names of the locks; those that were sent can be found by theirs from now on."""
    locks: dict[str, Lock | None] = {}
    for each in sent:
        lock = None if "name" in each else _renamed(lock_from(each), locks)
        if lock:
            give(lock)
        locks[lock.name if lock else each["name"]] = lock
    return list(locks)


def _renamed(lock: Lock, taken: Mapping[str, object]) -> Lock:
    """Return the lock, with a number behind its name where that is taken. Raises UsageError where it has to keep it."""
    name = lock.name
    if name not in taken:
        return lock
    if not isinstance(lock, Adapted):
        raise UsageError(f"lock {name}: two locks have this name, and rows are distinguished by it; rename one")
    return lock.named(next(f"{name}_{number}" for number in count(2) if f"{name}_{number}" not in taken))


def _names(document: Document, found: Sequence[Found]) -> list[str]:
    """Return the name of each case's scenario on the command line, where something broke; else an empty one."""
    if isinstance(document, Run):
        rows = [(case.scenario, case.verdict != "clean") for case in document.cases]
    elif isinstance(document, Exploration):
        rows = [(case.scenario, bool(case.token)) for case in document.cases]
    else:
        return []
    wanted = {name for name, broke in rows if broke}
    known = {each.name: command_name(each) for each in found if each.name in wanted}
    return [known.get(name, "") for name, _ in rows]


def _tell_nobody(title: str) -> None:
    """Ignore the title of the next step."""


def explain_race(request: Request) -> tuple[Run, list[str]]:
    """Return the run with the shortest interleaving that does the same damage, where the explorer has one.

    A lock that is not modelled and let holds overlap is no lock in the model.
    """
    import msgspec

    done = msgspec.json.decode(request.arguments["run"], type=Run)
    found = [scenario_from(sent) for sent in request.scenarios] or find_scenarios([])
    explained = explain(replace(done, cases=list(map(_modelled, done.cases))), found)
    cases = [replace(row, explanation=case.explanation) for row, case in zip(done.cases, explained.cases, strict=True)]
    return replace(done, cases=cases), []


def _modelled(row: Row) -> Row:
    return replace(row, lock="none") if row.overlapping_holds and row.lock not in MODELLED else row
