"""Provide the fixture `lab`: it sends a request of a test to a fresh interpreter and returns the answer."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from lab.errors import CannotRunError, ExitCode, LabError, ScenarioError, UsageError
from lab.exploring.locks import check_modelled
from lab.processes.external import Ended, run_interpreter
from lab.records import Run, encode
from lab.scenario import Scenario

from .manner import property_of
from .protocol import (
    ExplainRequest,
    ExploreAnswer,
    ExploreRequest,
    Parcel,
    RaceAnswer,
    RaceRequest,
    Request,
    is_about_the_test,
    local_modules,
    packed,
    request_data,
)
from .results import ExploreResult, RaceResult, Repetition

if TYPE_CHECKING:
    from .plugin import Defaults

__tracebackhide__ = is_about_the_test

ERRORS: dict[int, type[LabError]] = {error.exit_code: error for error in (UsageError, CannotRunError, ScenarioError)}
START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lab.pytest_plugin.server import main
sys.exit(main())
"""
"""The program of the other interpreter, which finds modules where this one does, also the lab itself."""

Document = TypeVar("Document")


class HelperError(LabError):
    """The process that should have raced ended without an answer."""

    exit_code = ExitCode.FAILED


def ask(request: Request, answer: type[Document], root: Path) -> Document:
    """Return the answer of the fresh interpreter; what its workers printed goes to stderr.

    Raises the LabError that was raised there, and HelperError where there is no answer.
    """
    import msgspec

    message = {
        "parent": os.getpid(),
        "dont_write_bytecode": sys.dont_write_bytecode,
        "modules": local_modules(root),
        "request": request_data(request),
    }
    paths = [path for path in sys.path if isinstance(path, str)]
    try:
        ended = run_interpreter(["-c", START, json.dumps(paths)], json.dumps(message).encode())
    except OSError as error:
        raise CannotRunError(f"no process to race in ({error.strerror}); raise the limits (ulimit -u, -n)") from error
    if ended.code == 0 or (ended.code in ERRORS and ended.stdout):
        sys.stderr.write(ended.stderr.decode(errors="replace"))
    if ended.code == 0:
        return msgspec.json.decode(ended.stdout, type=answer)
    raise _error(ended)


def _error(ended: Ended) -> LabError:
    if ended.code in ERRORS and ended.stdout:
        return ERRORS[ended.code](ended.stdout.decode(errors="replace"))
    how = f"exit code {ended.code}" if ended.code >= 0 else f"signal {-ended.code}"
    stderr = ended.stderr.decode(errors="replace").rstrip()
    wrote = f"what it wrote to stderr:\n{stderr}" if stderr else "it wrote nothing to stderr"
    return HelperError(f"the process that races ended with {how} and no answer; {wrote}")


AnyScenario = Scenario | type[Scenario] | str | os.PathLike[str]
"""A scenario as a test gives it: an object, a class, a built-in's name, or the path of a scenario file."""

TIME_LIMIT_S = 10.0

CLAIMS: dict[type[RaceResult | ExploreResult], tuple[str, ...]] = {
    RaceResult: (".assert_clean()", ".assert_damaged()"),
    ExploreResult: (".assert_exhausted()", ".assert_broken()"),
}
"""The calls that the message recommends to a test that never looked at a result."""


class Lab:
    """The fixture of one test, which races and explores in a fresh interpreter each time."""

    def __init__(self, request: pytest.FixtureRequest, defaults: Defaults) -> None:
        self._node = request.node
        self._home: ModuleType | None = getattr(request, "module", None)
        self._root: Path = request.config.rootpath
        self._test = _from_here(request)
        self._defaults = defaults
        self._results: list[RaceResult | ExploreResult] = []

    def check_looked_at(self) -> None:
        """Fail, for a test that has passed, where it never looked at the result of a race or an exploration."""
        unseen = [result for result in self._results if not result.looked_at]
        if unseen:
            claims = " or ".join(dict.fromkeys(claim for result in unseen for claim in CLAIMS[type(result)]))
            results = "; ".join(map(repr, unseen))
            pytest.fail(f"{results}: the test passed and never looked at the result; add {claims}", pytrace=False)

    def race(
        self,
        scenario: AnyScenario,
        *,
        lock: Any = "fcntl",
        workers: int = 4,
        rounds: int | None = None,
        trials: int | None = None,
        seconds: float | None = None,
        backing: str | None = None,
        window_ns: int = 0,
        leak: float = 0.0,
        seed: int | None = None,
        dir: str | os.PathLike[str] | None = None,  # noqa: A002 - as on the command line
        time_limit: float = TIME_LIMIT_S,
    ) -> RaceResult:
        """Race workers on a file in `dir`; everything else is as on the command line.

        `lock` is a name, `module:attribute`, a lock of the lab, a function or class that makes a lock from the path of
        a lock file (`lab.locking.adapt`), or what `adapt` returned. `rounds` are those of each worker, at most. It
        takes `trials`, or `seconds`; where neither is given about a second (`--lab-seconds`), and up to twelve more
        until a lock that grants falsely 1 in 1,000 times would have been noticed. A trial that takes longer than
        `time_limit` seconds counts as hung. Skips where the environment cannot; raises UsageError for what makes no
        sense, and HelperError where the process that races ends without an answer.
        """
        if lock is None:
            raise UsageError('lock=None: give a name, as in lock="fcntl"; lock="none" races without a lock')
        sent = self._packed(scenario)
        directory = str(_directory(dir) or self._defaults.directory)
        request = RaceRequest(
            scenario=sent,
            lock=packed(lock, "lock", self._home),
            workers=workers,
            rounds=rounds,
            trials=trials,
            seconds=seconds,
            about_s=self._defaults.seconds,
            backing=backing,
            window_ns=window_ns,
            leak=leak,
            seed=self._defaults.seed if seed is None else seed,
            directory=directory,
            time_limit_s=time_limit,
        )
        request.check()
        try:
            answer = ask(request, RaceAnswer, self._root)
        except CannotRunError as error:
            pytest.skip(str(error))
        self._note_race(answer)
        result = RaceResult(answer, self._repetition(lock, directory), partial(self._explain, sent))
        self._results.append(result)
        return result

    def explore(
        self,
        scenario: AnyScenario,
        *,
        lock: Any = "fcntl",
        workers: int = 2,
        rounds: int = 2,
        search: str = "auto",
        preemptions: int = 3,
        time_limit: float = TIME_LIMIT_S,
    ) -> ExploreResult:
        """Explore every interleaving of so many simulated workers and rounds, for at most `time_limit` seconds.

        `lock` is one that is modelled (none, fcntl, ofd, flock), by its name or as an object. Raises UsageError for
        arguments that make no sense, and CannotRunError for what cannot be explored: the environment is not the cause.
        """
        request = ExploreRequest(
            scenario=self._packed(scenario),
            lock=_modelled(lock),
            workers=workers,
            rounds=rounds,
            search=search,
            preemptions=preemptions,
            seed=self._defaults.seed,
            time_limit_s=time_limit,
        )
        request.check()
        answer = ask(request, ExploreAnswer, self._root)
        (case,) = answer.run.cases
        self._note(f"{case.scenario} under {case.lock}", verdict=case.verdict, schedules=case.schedules)
        result = ExploreResult(answer, self._repetition(lock))
        self._results.append(result)
        return result

    def _packed(self, scenario: AnyScenario) -> Parcel:
        kind = scenario if isinstance(scenario, type) else type(scenario)
        if not issubclass(kind, Scenario | str | os.PathLike):
            raise UsageError(f"scenario {scenario!r}: give a lab.Scenario, a built-in name, or the path of a file")
        return packed(scenario, "scenario", self._home)

    def _repetition(self, lock: object, directory: str = "") -> Repetition:
        return Repetition(self._test, lock if isinstance(lock, str) else None, directory)

    def _explain(self, scenario: Parcel, run: Run) -> Run:
        return ask(ExplainRequest(scenario=scenario, run=encode(run).decode()), RaceAnswer, self._root).run

    def _note_race(self, answer: RaceAnswer) -> None:
        (case,) = answer.run.cases
        self._note(
            f"{case.scenario} under {case.lock}",
            verdict=case.verdict,
            detection_limit=case.detection_limit,
            contended_requests=case.contended_requests,
        )
        if answer.manner:
            self._note(f"{case.scenario} under {case.lock}", **{property_of(answer.manner): True})

    def _note(self, what: str, **values: object) -> None:
        """Note a property for the JUnit file: pytest writes what a test notes."""
        for name, value in values.items():
            self._node.user_properties.append((f"lab {what}: {name}", value))


def _from_here(request: pytest.FixtureRequest) -> str:
    """Return the test's name as seen from the directory where pytest was started.

    A nodeid begins at the root of the project.
    """
    file = os.path.relpath(request.node.path, request.config.invocation_params.dir)
    return "::".join([file, *str(request.node.nodeid).split("::")[1:]])


def _modelled(lock: Any) -> str:
    """Return the name of the lock. Raises CannotRunError for an object or a class without a model."""
    if isinstance(lock, str):
        return lock
    name = str(getattr(lock, "name", getattr(lock, "__name__", lock)))
    check_modelled(name)
    return name


def _directory(given: str | os.PathLike[str] | None) -> Path | None:
    if given is not None and not Path(given).is_dir():
        raise UsageError(f"dir={os.fspath(given)!r} is no directory; give one on the filesystem in question")
    return Path(given).absolute() if given is not None else None
