"""Run in the interpreter that races for a test: it reads one request, writes one answer, and ends.

The request is JSON on stdin. The answer goes to the original stdout: a results document with a little more (`answer`),
and 0 as exit code; or the text of a LabError, and its exit code. What the scenario and the lock print goes to stderr.
Nothing is imported before the race that forks would pay for, except the test's own modules, which are loaded from the
same files.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from base64 import b64decode
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from lab.errors import ExitCode, LabError, UsageError, error_line, unknown
from lab.exploring.beside_race import explain
from lab.exploring.operation import widest_move
from lab.exploring.run import cases_of as explored_cases
from lab.exploring.run import run
from lab.exploring.strategy import HOW
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking import RECORDER, Lock, adapt, completed, find_lock
from lab.locking.adapters import is_manager
from lab.locking.protocol import kind_of
from lab.locking.registry import MODELLED, load
from lab.memory import workspace
from lab.processes import Terminated, stop_on_sigterm, stops_held
from lab.processes.external import end_with
from lab.racing import Case, cases_of
from lab.records import Case as Row
from lab.records import ExploreOptions, Options, Run
from lab.scenario import Found, Scenario, find_scenarios
from lab.scenario.attributes import check_attributes, check_complete
from lab.scenario.find import describe, kinds_of

from .pacing import race_case
from .protocol import (
    ExplainRequest,
    ExploreAnswer,
    ExploreRequest,
    Parcel,
    RaceAnswer,
    RaceRequest,
    Request,
    answer_data,
    read,
)


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
    if "place" in sent:
        unpack(sent, "lock")  # says where the mistake is
        return load(sent["place"].rpartition(":")[2], sent["place"])
    lock = unpack(sent, "lock")
    kind = type(lock).__name__
    if hasattr(lock, "actions"):
        return completed(lock, kind)
    if is_manager(lock) or hasattr(lock, "acquire"):
        raise UsageError(
            f"lock: {kind_of(lock)} object is no lock of the lab; give what makes one from a path: lock={kind}"
        )
    if not callable(lock):
        raise UsageError(
            f"lock: {kind_of(lock)} is no lock; give a name, a lock of the lab, or what makes one from a path"
        )
    return adapt(lock, name=getattr(getattr(lock, "func", lock), "__name__", kind))


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
    """Return the class under the name by which the command line finds it in its file."""
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
        with stop_on_sigterm():
            code, text = _answer(message["request"])
    except (KeyboardInterrupt, Terminated):
        return ExitCode.INTERRUPTED
    with os.fdopen(answer, "wb") as stream:
        stream.write(text)
    return code


def _answer(values: dict[str, Any]) -> tuple[int, bytes]:
    try:
        return 0, answer_data(_done(read(values)))
    except LabError as error:
        return error.exit_code, str(error).encode("utf-8", "replace")


def _done(request: Request) -> Any:
    if isinstance(request, RaceRequest):
        return race(request)
    if isinstance(request, ExploreRequest):
        return explore(request)
    return explain_race(request)


STAND_IN = "fcntl"
"""The name of the lock where it is an object: a case begins with a name."""


def race(request: RaceRequest) -> RaceAnswer:
    """Race the case. Raises LabError for what cannot be found or raced; errors in the race itself are part of its
    result.
    """
    case, options = _case(request)
    begun = RunStart()
    with workspace(Path(request.directory)) as folder:
        shown = race_case(case, folder, request)
        with stops_held():
            where = environment(folder, begun.load, RECORDER)
    row = shown.row
    run = Run(
        **begun.header(where),
        options=replace(options, directory=anonymous_text(options.directory), trials=row.trials),
        cases=[row],
    )
    name = "" if row.verdict == "clean" else command_name(case.found)
    return RaceAnswer(run, name, manner=shown.manner, raced_s=shown.raced_s)


def _case(request: RaceRequest) -> tuple[Case, Options]:
    found = scenario_from(request.scenario)
    lock = lock_from(request.lock)
    named = request.lock.get("name")
    options = Options(
        scenarios=[found.name],
        locks=[named or STAND_IN],
        workers=[request.workers],
        rounds=request.rounds,
        trials=request.trials or 0,
        directory=request.directory,
        seed=request.seed,
        pin=None,
        window_ns=request.window_ns,
        leak=request.leak,
        time_limit_s=request.time_limit_s,
        backings=[request.backing] if request.backing else [],
        faults="none",
    )
    (case,) = cases_of([found], options)
    if named:
        return case, options
    seed = f"{request.seed}/{found.name}/{lock.name}/{request.workers}"
    return replace(case, setting=replace(case.setting, lock=lock, seed=seed)), replace(options, locks=[lock.name])


SEARCHES = ("auto", *HOW)


def explore(request: ExploreRequest) -> ExploreAnswer:
    """Explore the case. Raises LabError for what cannot be explored."""
    if request.search not in SEARCHES:
        raise unknown("search", request.search, list(SEARCHES))
    found = scenario_from(request.scenario)
    options = ExploreOptions(
        scenarios=[found.name],
        locks=[request.lock],
        workers=[request.workers],
        rounds=[request.rounds],
        search=request.search,
        preemptions=request.preemptions,
        line_bytes=widest_move(),
        seed=request.seed,
        jobs=1,
        time_limit_s=request.time_limit_s,
        show_schedules=0,
    )
    done = run(explored_cases([found], options), options, lambda title: None)
    if done.interrupted:
        raise KeyboardInterrupt
    return ExploreAnswer(done, command_name(found) if any(case.token for case in done.cases) else "")


def explain_race(request: ExplainRequest) -> RaceAnswer:
    """Return the run with the shortest interleaving that does the same damage, where the explorer has one.

    A lock that is not modelled and let holds overlap is no lock in the model.
    """
    import msgspec

    done = msgspec.json.decode(request.run, type=Run)
    found = scenario_from(request.scenario)
    (row,) = done.cases
    (case,) = explain(replace(done, cases=[_modelled(row, found)]), [found]).cases
    return RaceAnswer(replace(done, cases=[replace(row, explanation=case.explanation)]), "")


def _modelled(row: Row, found: Found) -> Row:
    lock = "none" if row.overlapping_holds and row.lock not in MODELLED else row.lock
    return replace(row, scenario=found.name, lock=lock)
