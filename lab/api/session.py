"""Define the functions of `lab`: each sends a request to a fresh interpreter and returns what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

from lab.errors import CannotRunError, UsageError, unknown
from lab.records import Bench, Check, Exploration, LockSurvey, Replay, Run, encode

from .arguments import (
    AnyScenario,
    Directory,
    Scenarios,
    caller,
    check_race_over_hosts,
    existing,
    label,
    listed,
    lock_parcels,
    modelled,
    reached,
    scenario_parcels,
    shared_directory,
)
from .examples import Example, sent
from .protocol import Answer, Parcel, Record, Request, ask, is_about_the_test
from .results import BenchResult, CheckResult, ExploreResult, LocksResult, RaceResult, Repetition, ReplayResult
from .values import TIMEOUT_S, checked, temporary_directory

__tracebackhide__ = is_about_the_test

TIME_LIMIT_S = 10.0
SECONDS = 1.0
"""The time that a race takes, in seconds, where the caller gives none."""

P = ParamSpec("P")
R = TypeVar("R")


def named(function: Callable[P, R]) -> Callable[P, R]:
    """Make the function refuse a wrong name of an argument as the command line refuses a wrong option."""
    known = list(signature(function).parameters)[1:]

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known:
                raise unknown("argument", name, known)
        return function(*args, **kwargs)

    return call


class Session:
    """The caller's settings for all its races and explorations: a seed, a directory, the seconds of a race.

    The functions of `lab` are those of a session without settings; the fixture `lab` of pytest is one for each test.
    """

    def __init__(self, *, seed: int = 0, directory: Path | None = None, seconds: float = SECONDS) -> None:
        self._seed = seed
        self._directory = directory
        self._seconds = seconds
        self._root = Path()
        self._test = ""
        self._keeps = True

    @named
    def race(
        self,
        scenario: Scenarios = None,
        *,
        lock: Any = "fcntl",
        workers: int | Sequence[int] = 4,
        rounds: int | None = None,
        trials: int | None = None,
        seconds: float | None = None,
        backing: str | Sequence[str] | None = None,
        dir: Directory | Sequence[Directory] | None = None,  # noqa: A002 - as on the command line
        seed: int | None = None,
        pin: str | None = None,
        window: int = 0,
        leak: float = 0.0,
        detects: float | str | None = None,
        faults: str = "none",
        isolate: str = "",
        time_limit: float = TIME_LIMIT_S,
        record: int = 0,
        explain: bool = False,
        explore: bool = False,
        examples: bool = True,
        hosts: str | Sequence[str] | None = None,
        python: str = "",
        ssh_config: str = "",
        rsh: str = "",
        timeout: float = TIMEOUT_S,
        tickets: bool = True,
        leak_on: str | Sequence[str] = (),
    ) -> RaceResult:
        """Race workers on a file in `dir`, as `lab race` does; each argument is the option of its name.

        `scenario` is a class or an object of yours, the name of a built-in one, the path of a file, or a list of these;
        all built-in ones that only a lock protects, where it is left out. `lock` is a name, `module:attribute`, a lock
        of the lab, a function or class that makes a lock from the path of a lock file, or what `lab.adapt` returned; or
        a list of these, of which each makes a case, as each of `workers` and `backing` does.

        `rounds` are those of each worker, at most. A case takes `trials`, or `seconds`; where neither is given about a
        second, and more until a lock that grants falsely at the rate `detects`, or 1 in 1,000 times, would have been
        noticed: up to ten seconds, or up to a minute where that will be enough. A trial that takes longer than
        `time_limit` seconds counts as hung. With `explore` a clean case is explored too, with `explain` a damaged one.
        With `examples` a case whose claim failed in the last run is first raced for a moment with the settings of that
        failure, which are kept in `.lab/`.

        With `hosts` it goes over these, as with `lab race --hosts`: `dir` is the directory that they share, and each
        case has its `trials`. `python`, `ssh_config` and `rsh` say how they are reached, `timeout` how many seconds an
        answer may take; `tickets` are drawn inside the locks, and `leak` is that of the hosts `leak_on` alone, where
        there are any. The lock is then given by its name.

        Raises UsageError for what makes no sense, and CannotRunError where the environment cannot.
        """
        over = reached(listed(hosts), python, ssh_config, rsh, timeout)
        if over:
            check_race_over_hosts(lock=listed(lock), seconds=seconds, isolate=isolate, record=record, faults=faults)
        given = checked(
            "race",
            workers=listed(workers),
            rounds=rounds,
            trials=trials,
            seconds=seconds,
            backing=listed(backing),
            seed=self._seed if seed is None else seed,
            pin=pin,
            window=window,
            leak=leak,
            detects=detects,
            faults=faults,
            isolate=isolate or None,
            time_limit=time_limit,
            record=record or None,
        )
        if trials is not None and seconds is not None:
            raise UsageError("trials= and seconds= both say how long to race; give one of them")
        folders = shared_directory(listed(dir)) if over else self._folders(dir)
        home = caller()
        scenarios, locks = scenario_parcels(scenario, home), lock_parcels(lock, home)
        if over and any("pickle" in each for each in scenarios):
            raise UsageError("scenario=: over several hosts give a class of a file, or a name: hosts get that file")
        example = self._example("race", scenario, lock, wanted=examples)
        request = Request(
            "race",
            {
                **given,
                "isolate": isolate,
                "record": record,
                "dir": folders,
                "lock": None,
                "about_s": self._seconds,
                "explain": explain,
                "explore": explore,
                "first": [] if over else sent(example.failures()),
                **over,
                **({"tickets": bool(tickets), "leak_on": listed(leak_on)} if over else {}),
            },
            scenarios,
            locks,
        )
        answer = self._ask(request, Run)
        return self._returned(
            RaceResult(
                answer,
                self._repetition(lock, folders[0]),
                unable=self._unable,
                example=example,
                explain=lambda run: self._explained(request.scenarios, run),
            )
        )

    @named
    def explore(
        self,
        scenario: Scenarios = None,
        *,
        lock: Any = "fcntl",
        workers: int | Sequence[int] | None = None,
        rounds: int | Sequence[int] = 2,
        operations: int | None = None,
        crash: str | Sequence[str] | None = None,
        unit: str = "page",
        crashes: int = 2,
        search: str = "auto",
        preemptions: int = 3,
        tear: int | None = None,
        time_limit: float = TIME_LIMIT_S,
        jobs: int = 1,
        seed: int | None = None,
        examples: bool = True,
    ) -> ExploreResult:
        """Explore every interleaving of so many simulated workers (2) and rounds, as `lab explore` does.

        Of a structure with operations all programs of up to so many calls are explored (4), by 2 or 3 workers. With
        `crash`, "kill" or "power", each crash point too, where a disk writes a `unit` whole and there are at most
        `crashes` in a row.
        Each case takes at most `time_limit` seconds. `lock` is one that is modelled (none, fcntl, ofd, flock), by its
        name or as an object; it, `scenario`, `workers` and `rounds` may be lists. With `examples` the interleaving with
        which a claim failed in the last run, which is kept in `.lab/`, is tried first. Raises UsageError for arguments
        that make no sense, and CannotRunError for what cannot be explored.
        """
        given = checked(
            "explore",
            workers=listed(workers),
            rounds=listed(rounds),
            operations=operations,
            crash=listed(crash),
            unit=unit,
            crashes=crashes,
            search=search,
            preemptions=preemptions,
            tear=tear,
            time_limit=time_limit,
            jobs=jobs,
            seed=self._seed if seed is None else seed,
        )
        locks = [{"name": modelled(each)} for each in listed(lock) or []]
        example = self._example("explore", scenario, lock, wanted=examples)
        first = sent(example.failures())
        request = Request(
            "explore", {**given, "lock": None, "first": first}, scenario_parcels(scenario, caller()), locks
        )
        answer = ask(request, Exploration)
        again = self._repetition(lock, "")
        return self._returned(ExploreResult(answer, again, unable=self._unable, example=example))

    @named
    def check(
        self,
        directory: Directory | Sequence[Directory],
        *,
        only: str | Sequence[str] | None = None,
        seconds: float | None = None,
        seed: int | None = None,
        workers: int = 4,
        detects: float | str | None = None,
        faults: bool = False,
        hosts: str | Sequence[str] | None = None,
        python: str = "",
        ssh_config: str = "",
        rsh: str = "",
        timeout: float = TIMEOUT_S,
        cut: str = "",
        heal: str = "",
        cut_seconds: float = 120.0,
    ) -> CheckResult:
        """Find out whether locking is safe in a directory, as `lab check` does; several are one by different mounts.

        `only` are guarantees, groups of them, or parts. Random programs and races take 4 `seconds`, 8 with `hosts`:
        then one directory is checked from these, as with `lab check --hosts`. `python`, `ssh_config` and `rsh` say how
        they are reached, `timeout` how many seconds an answer may take, and the commands `cut` and `heal`, with
        `faults`, cut the last of them off for at most `cut_seconds`. Raises UsageError for what makes no sense, and
        CannotRunError where the directory cannot be used.
        """
        over = reached(listed(hosts), python, ssh_config, rsh, timeout)
        given = checked(
            "check",
            only=listed(only) or [],
            seconds=seconds,
            seed=self._seed if seed is None else seed,
            workers=workers,
            detects=detects,
        )
        folders = (
            shared_directory(listed(directory)) if over else [str(existing(each)) for each in listed(directory) or []]
        )
        cutting = {"cut": cut, "heal": heal, **checked("check", cut_seconds=cut_seconds)}
        request = Request("check", {**given, "directories": folders, "faults": bool(faults), **over, **cutting})
        return self._returned(CheckResult(self._ask(request, Check), self._unable))

    @named
    def replay(
        self,
        token: str,
        scenario: AnyScenario | None = None,
        *,
        times: int = 100,
        dir: Directory | None = None,  # noqa: A002 - as on the command line
        time_limit: float = 5.0,
        real: str | Sequence[str] | None = None,
    ) -> ReplayResult:
        """Perform the interleaving of a token on the real kernel, as `lab replay` does: it pins a failure in a test.

        The token names its scenario. One that the command line cannot find, as it is defined in a notebook or a
        function, is given as `scenario`; so is one of the file that the token itself is written in. With `real`,
        "ext4", "xfs" or "all", the power of these filesystems is cut where the token has that, as with `lab replay
        --real`. Raises UsageError where the scenario does other operations than when the token was made, and
        CannotRunError where the environment cannot.
        """
        given = checked("replay", times=times, time_limit=time_limit)
        home = caller()
        scenarios = scenario_parcels(scenario, home) if scenario is not None else []
        own = {"token": token, "dir": self._folders(dir)[0], "real": listed(real)}
        request = Request("replay", {**given, **own}, scenarios)
        return self._returned(ReplayResult(self._ask(request, Replay), self._unable))

    @named
    def bench(
        self,
        lock: Any = None,
        *,
        price: str | Sequence[str] | None = None,
        workers: int | Sequence[int] | None = None,
        ranges: str | Sequence[str] | None = None,
        held: int | Sequence[int] | None = None,
        hold: float | None = None,
        think: float | None = None,
        pin: str | None = None,
        native: bool = False,
        backing: str | Sequence[str] | None = None,
        sizes: int | Sequence[int] | None = None,
        dir: Directory | Sequence[Directory] | None = None,  # noqa: A002 - as on the command line
        seconds: float = 1.0,
        repeats: int = 31,
    ) -> BenchResult:
        """Measure what locks cost, as `lab bench` does; with `backing` and nothing about locks, what copying costs.

        `lock` is as in `race`; those of the kernel, where it is left out. `hold` and `think` are in microseconds.
        With `native` the loops are in C.
        Raises UsageError for what makes no sense, and CannotRunError where the environment cannot.
        """
        given = checked(
            "bench",
            price=listed(price),
            workers=listed(workers),
            ranges=listed(ranges),
            held=listed(held),
            hold=hold,
            think=think,
            pin=pin,
            backing=listed(backing),
            sizes=listed(sizes),
            seconds=seconds,
            repeats=repeats,
        )
        given_locks = lock_parcels(lock, caller()) if lock is not None else []
        arguments = {**given, "native": native, "dir": self._folders(dir), "lock": None}
        request = Request("bench", arguments, locks=given_locks)
        return self._returned(BenchResult(self._ask(request, Bench), self._unable))

    @named
    def locks(
        self,
        lock: Any = None,
        *,
        dir: Directory | None = None,  # noqa: A002 - as on the command line
        seconds: float = 5.0,
    ) -> LocksResult:
        """Compare locks by what they keep out, let in and survive, as `lab locks` does; all, where none is named.

        `lock` is as in `race`. Raises UsageError for what is no lock, and CannotRunError where one is not available.
        """
        given = checked("locks", seconds=seconds)
        given_locks = lock_parcels(lock, caller()) if lock is not None else []
        request = Request("locks", {**given, "dir": self._folders(dir)[0], "lock": None}, locks=given_locks)
        return self._returned(LocksResult(self._ask(request, LockSurvey), self._unable))

    @staticmethod
    def assert_linearizable(calls: Any, model: Any, *, time_limit: float = TIME_LIMIT_S) -> None:
        """Assert that an order of recorded calls explains every result: see `lab.assert_linearizable`."""
        from .histories import assert_linearizable

        assert_linearizable(calls, model, time_limit=time_limit)

    def _folders(self, given: Directory | Sequence[Directory] | None) -> list[str]:
        return [str(existing(each)) for each in listed(given) or [self._directory or temporary_directory()]]

    def _ask(self, request: Request, record: type[Record]) -> Answer[Record]:
        try:
            return ask(request, record)
        except CannotRunError as error:
            self._unable(str(error))

    def _explained(self, scenarios: list[Parcel], run: Run) -> Run:
        return ask(Request("explain", {"run": encode(run).decode()}, scenarios), Run).document

    def _unable(self, reason: str) -> NoReturn:
        """Say that the environment cannot do it."""
        raise CannotRunError(reason)

    def _example(self, verb: str, scenario: Scenarios, lock: Any, *, wanted: bool) -> Example:
        """Return what is known of the last failure of such a call."""
        words = [" ".join(map(label, listed(each) or [])) for each in (scenario, lock)]
        return Example.of(self._root, verb, *words, self._test, wanted=wanted and self._keeps)

    def _repetition(self, lock: Any, directory: str) -> Repetition:
        return Repetition(self._test, lock if isinstance(lock, str) else None, directory)

    def _returned(self, result: R) -> R:
        """Return the result; the fixture notes it first."""
        return result


SESSION = Session()
race, explore, check, replay, bench, locks = (
    SESSION.race,
    SESSION.explore,
    SESSION.check,
    SESSION.replay,
    SESSION.bench,
    SESSION.locks,
)
