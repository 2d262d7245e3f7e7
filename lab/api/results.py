"""Define what the functions of `lab` return: a record, the claims that a test makes about it, and how to repeat it.

Advice that names options of the lab's commands is given here with the arguments that a caller has in their place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from io import StringIO
from math import ceil
from shlex import join
from typing import Any, Generic, NoReturn, TypeVar

from lab.analysis.statistics import requests_for
from lab.errors import CannotRunError, UsageError
from lab.locking.registry import OWN
from lab.output import lab_command, shell_line
from lab.racing.summary import MORE, rounds_for, seconds_for
from lab.records import Bench, Case, Check, Exploration, ExploredCase, LockSurvey, Replay, Run, encode
from lab.report.documents import report_of
from lab.report.format import PLAIN, one_in, plural
from lab.report.notebook import data_of, html_of
from lab.report.text.explore import covered, explanation
from lab.report.text.explore import text_of as explore_text
from lab.report.text.race import what_broke
from lab.report.text.race_again import NEXT
from lab.report.text.race_verdict import TELLING, complaints, heading

from .examples import Example, Failure
from .manner import MANNERS
from .pacing import DETECTS
from .protocol import Answer, Record, as_arguments, is_about_the_test


@dataclass(frozen=True, slots=True)
class Repetition:
    """The facts needed to repeat a race.

    They are the test, empty outside of one, the lock where it was given by its name, and the name of the directory
    here.
    """

    test: str
    lock: str | None
    directory: str = ""

    def line(self, run: Run, case: Case, name: str) -> str:
        """Return `lab race ...` where the command line can do the same; else the line of the test, or nothing."""
        options = run.options
        if not self.lock or not name or case.manner:
            return self.tested(options.seed)
        rounds, trials = _shape(case)
        words: list[object] = [name, "--lock", self.lock, "--workers", case.workers]
        words += ["--rounds", rounds, "--trials", trials, "--seed", options.seed, "--dir", self.directory]
        words += ["--time-limit", f"{options.time_limit_s:g}"]
        words += ["--backing", *options.backings] if options.backings else []
        words += ["--window", options.window_ns] if options.window_ns else []
        words += ["--leak", options.leak] if options.leak else []
        return f"{lab_command()} race {shell_line(map(str, words))}"

    def tested(self, seed: int) -> str:
        """Return the line that runs the test again; nothing outside of a test."""
        return self.test and join(["python", "-m", "pytest", self.test, "--lab-seed", str(seed)])


def _shape(case: Case) -> tuple[int, int]:
    """Return rounds and trials that are as much as was raced; a race for a time has shorter trials at its beginning."""
    each = max(1, case.operations // case.workers)
    rounds = min(case.rounds, each) if case.operations else case.rounds
    return rounds, max(1, round(each / rounds))


__tracebackhide__ = is_about_the_test

REPLAY = "replay: "


Row = TypeVar("Row", Case, ExploredCase)
Unable = Callable[[str], NoReturn]
"""A function that says that the environment cannot do it."""


class Result(Generic[Record]):
    """What a function of `lab` returns. It counts as looked at once a claim was made, or the record was read."""

    def __init__(self, answer: Answer[Record], unable: Unable) -> None:
        self.looked_at = False
        self._answer = answer
        self._unable = unable

    @property
    def record(self) -> Record:
        """The document of the command (`lab.records`)."""
        self.looked_at = True
        return self._answer.document

    @property
    def run(self) -> Record:
        """The document, by its other name."""
        return self.record

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain values, as `--json` writes it."""
        plain: dict[str, Any] = json.loads(encode(self.record))
        return plain

    def to_pandas(self) -> Any:
        """Return the table of `--format csv` as a DataFrame: a row for each case, numbers as numbers.

        Raises CannotRunError where pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise CannotRunError(f"to_pandas needs pandas ({error}); pip install pandas") from None
        return pandas.read_csv(StringIO(data_of(self.record)))

    def __str__(self) -> str:
        """Return the report that the command prints."""
        return report_of(self._answer.document).text(self._answer.document)

    def _repr_html_(self) -> str:
        return html_of(self._answer.document)


class WithCases(Result[Record], Generic[Record, Row]):
    """A result that has a row for each case."""

    @property
    def cases(self) -> list[Row]:
        """The rows of the table: the cases, and the result of each."""
        rows: list[Row] = self.record.cases  # type: ignore[attr-defined]
        return rows

    @property
    def case(self) -> Row:
        """The only row. Raises UsageError where there are several."""
        rows = self.cases
        if len(rows) != 1:
            raise UsageError(f"case: there are {len(rows)}; use .cases")
        return rows[0]

    def _named(self) -> Iterator[tuple[Row, str]]:
        """Yield each case with the name of its scenario on the command line."""
        return zip(self.cases, self._answer.names or [""] * len(self.cases), strict=True)


NO_EXAMPLE = Example(None, "")
"""What remembers nothing."""


class RaceResult(WithCases[Run, Case]):
    """The result of a race: `print` shows its report, a notebook its table."""

    def __init__(
        self,
        answer: Answer[Run],
        repetition: Repetition,
        *,
        unable: Unable,
        explain: Callable[[Run], Run],
        example: Example = NO_EXAMPLE,
    ) -> None:
        super().__init__(answer, unable)
        self._repetition = repetition
        self._example = example
        self._explain = explain

    def __repr__(self) -> str:
        return f"race of {'; '.join(map(_raced_case, self._answer.document.cases))}"

    @property
    def manner(self) -> str:
        """What workers did inside the lock, "yielded" or "slept", which widens the race window; empty if nothing."""
        return next((case.manner for case in self._answer.document.cases if case.manner), "")

    @property
    def yielded(self) -> bool:
        """True where the race window was widened so, in either manner."""
        return bool(self.manner)

    def assert_clean(self, detects: float | None = None) -> None:
        """Fail unless every case was clean, and clean enough to say something about its lock.

        Clean means that nothing broke, no worker died or hung, and no holds overlapped. It says something where a lock
        that grants falsely at the rate `detects` (that of the race, or 1e-3) would have been noticed with 95 %
        probability. Raises UsageError for what is no rate, and CannotRunError where the environment cannot race it; a
        test with the fixture skips there.
        """
        rate = detects if detects is not None else self._answer.document.options.detects or DETECTS
        if not 0 < rate < 1:
            raise UsageError(f"detects={rate!r} is no rate: above 0, below 1")
        self._remember([case for case, _ in self._possible() if not _is_clean(case)])
        for case, name in self._possible():
            run = self._only(case)
            if not _is_clean(case):
                raise AssertionError(self._failure(run if self._leaked(run) else self._explain(run), name))
            if case.detection_limit is None or case.detection_limit > rate:
                raise AssertionError(f"{_too_weak(case, rate)}\n\n{self._evidence(run, name)}")

    def assert_damaged(self) -> None:
        """Fail unless data broke or holds overlapped in every case; raise as `assert_clean` does."""
        for case, name in self._possible():
            if case.verdict in ("clean", "inconclusive"):
                raise AssertionError(
                    f"{_raced_case(case)}: was to break and did not in {plural(case.operations, 'round')}; race for "
                    f"more seconds=, or widen the window with window=\n\n{self._evidence(self._only(case), name)}"
                )
            if case.verdict != "damaged":
                raise AssertionError(self._failure(self._only(case), name))

    def _remember(self, failed: list[Case]) -> None:
        """Keep how these cases failed, for the next run to try first; what failed before is forgotten."""
        seed = self._answer.document.options.seed
        kept = [
            Failure(
                case.scenario,
                case.lock,
                case.workers,
                backing=case.backing,
                rounds=case.rounds,
                seed=seed,
                manner=case.manner,
            )
            for case in failed
        ]
        self._example.keep(kept) if kept else self._example.drop()

    def _possible(self) -> list[tuple[Case, str]]:
        """Return the cases, if the environment could race them all."""
        for case in self.cases:
            if case.verdict == "unsupported":
                self._unable(case.reason)
        return list(self._named())

    def _only(self, case: Case) -> Run:
        return replace(self._answer.document, cases=[case])

    def _leaked(self, run: Run) -> bool:
        """Return True where holds overlapped because the caller asked for it."""
        return bool(run.options.leak and run.cases[0].has_overlaps)

    def _failure(self, run: Run, name: str) -> str:
        """Say what went wrong in a race that should have been clean."""
        unexpected = replace(run, cases=[replace(case, expected="clean", allows_overlaps=False) for case in run.cases])
        lines = [line for line in complaints(unexpected) if not line.startswith(NEXT)]  # a test has `again`
        return "\n".join([*map(as_arguments, lines), "", self._evidence(unexpected, name)])

    def _evidence(self, run: Run, name: str) -> str:
        """Return the table, why it broke where that is known, and how to repeat it."""
        (case,) = run.cases
        parts = [what_broke(run, PLAIN)]
        if self._leaked(run):
            parts.append(
                f"why it broke: leak={run.options.leak:g} makes conflicting holds overlap: no fault of its own"
            )
        parts += [_without_replay(explanation(case.explanation), name)] if case.explanation else []
        again = self._repetition.line(run, case, name)
        parts.append("; ".join(filter(None, [heading(run), MANNERS.get(case.manner)])))
        return "\n\n".join(parts) + (f"\nagain: {again}" if again else "")


def _is_clean(case: Case) -> bool:
    return case.verdict in ("clean", "inconclusive") and not case.overlapping_holds


def _without_replay(text: str, name: str) -> str:
    """Return the text, without the replay line where the command line finds no scenario by this name."""
    return "\n".join(line for line in text.splitlines() if name or not line.startswith(REPLAY))


def _too_weak(case: Case, detects: float) -> str:
    """Say that a clean race shows too little, and how much more it takes."""
    shows = f"{_raced_case(case)}: clean, but that shows too little"
    if not case.holds:
        return f"{shows}: no hold of a lock was recorded, so a lock that grants falsely could not have been noticed"
    if not case.contended_requests:
        return f"{shows}: no request met a holder, so it could notice no false grant; {_to_meet(case, detects)}"
    more = rounds_for(case, detects) - case.operations
    seconds = ceil(seconds_for(case, detects, case.raced_s or case.wall_s))
    return (
        f"{shows}: {case.contended_requests:,} of {plural(case.operations, 'round')} met a holder, so "
        f"{_noticed(case)}, and detects={detects:g} asks for {one_in(detects)}, which takes "
        f"{requests_for(detects):,}: about {more:,} more rounds, as with seconds={seconds}"
        f"{_polling(case.manner, case)}"
    )


def _noticed(case: Case) -> str:
    """Say which rate would have been noticed, by so many requests."""
    power = case.detection_limit
    if power is None or power > TELLING:
        return "hardly a false grant would have been noticed"
    return f"a lock that grants falsely {one_in(power)} times would have been noticed"


def _polling(manner: str, case: Case) -> str:
    """Say what else may help where workers waited inside the lock and still met seldom.

    Nothing is said under one of the kernel's locks.
    """
    if not manner or case.lock in OWN:
        return ""
    return "; a lock that polls meets others only as often as it looks: have it look every millisecond"


def _to_meet(case: Case, detects: float) -> str:
    """Say what to try where no request met a holder: twice the workers, and many more rounds."""
    rounds = MORE * max(1, case.operations // case.workers)
    return (
        f"detects={detects:g} takes {requests_for(detects):,} that do: give workers={2 * case.workers} and "
        f"rounds={rounds:_}, or leave trials= out, and workers who meet too seldom wait inside the lock"
    )


def _raced_case(case: Case) -> str:
    return f"{case.scenario} under {case.lock}, {plural(case.workers, 'worker')}"


class ExploreResult(WithCases[Exploration, ExploredCase]):
    """The result of an exploration: `print` shows its report, a notebook the interleaving that breaks."""

    def __init__(
        self, answer: Answer[Exploration], repetition: Repetition, *, unable: Unable, example: Example = NO_EXAMPLE
    ) -> None:
        super().__init__(answer, unable)
        self._repetition = repetition
        self._example = example

    def __repr__(self) -> str:
        return f"exploration of {'; '.join(map(_explored_case, self._answer.document.cases))}"

    def assert_exhausted(self) -> None:
        """Fail unless every interleaving of every case was covered and none breaks anything."""
        self.assert_holds()
        for case, name in self._named():
            if not case.exhausted:
                raise AssertionError(
                    f"{_explored_case(case)}: not exhausted: nothing broke in {case.covered}; raise "
                    f"time_limit= or preemptions=, or lower rounds=\n\n{self._evidence(case, name)}"
                )

    def assert_holds(self) -> None:
        """Fail unless every interleaving with up to `preemptions` was covered and none breaks anything."""
        broken = [Failure(case.scenario, case.lock, case.workers, case.token) for case in self.cases if case.token]
        self._example.keep(broken) if broken else self._example.drop()
        for case, name in self._named():
            if case.verdict == "broken":
                raise AssertionError(f"{_explored_case(case)}: broken: {case.headline}\n\n{self._evidence(case, name)}")
            if case.verdict != "holds":
                text = as_arguments(covered(case))
                raise AssertionError(f"{text}\n\n{self._evidence(case, name, text)}")

    def assert_broken(self, kind: str | None = None) -> None:
        """Fail unless an interleaving was found that breaks something, with damage of this kind where one is named."""
        for case, name in self._named():
            kinds = [each.kind for each in case.damage]
            if case.verdict != "broken":
                raise AssertionError(
                    f"{_explored_case(case)}: was to break and did not\n\n{self._evidence(case, name)}"
                )
            if kind is not None and kind not in kinds:
                raise AssertionError(
                    f"{_explored_case(case)}: broken, but by {', '.join(kinds)}, not by {kind}\n\n"
                    f"{self._evidence(case, name)}"
                )

    def _evidence(self, case: ExploredCase, name: str, without: str = "") -> str:
        """Return the report of the exploration, without what has been said, and how to repeat it."""
        run = replace(self._answer.document, cases=[case])
        text = _without_replay(as_arguments(explore_text(run, PLAIN)), name)
        text = "\n".join(line for line in text.splitlines() if not line or line != without).rstrip()
        again = self._repetition.tested(run.options.seed)
        return f"{text}\n\nagain: {again}" if again else text


class CheckResult(Result[Check]):
    """The result of a check: a verdict on each guarantee."""

    def __repr__(self) -> str:
        done = self._answer.document
        return f"check of {', '.join(done.directories)}: {'safe' if done.safe else 'not safe'}"

    def assert_safe(self) -> None:
        """Fail unless nothing that was asked for is unsafe, refused or unknown."""
        if not self.record.safe:
            raise AssertionError(f"{self!r}\n\n{self}")


class ReplayResult(Result[Replay]):
    """The result of a replay: how many times the interleaving led real processes to the same end."""

    def __repr__(self) -> str:
        done = self._answer.document
        return f"replay of {done.scenario} under {done.lock}: reproduced {done.reproduced} of {done.times} times"

    def assert_reproduced(self) -> None:
        """Fail unless every performance ended as the token says, with its damage."""
        done = self.record
        if done.reproduced < done.times or not done.times:
            raise AssertionError(f"{self!r}: {done.divergence}\n\n{self}")
        if not done.damage:
            raise AssertionError(f"{self!r}, but that breaks nothing any more: the scenario has changed\n\n{self}")


class BenchResult(Result[Bench]):
    """The result of a benchmark: the price of each case, with its samples."""

    def __repr__(self) -> str:
        done = self._answer.document
        named = dict.fromkeys(each.lock for each in done.locks) or dict.fromkeys(each.backing for each in done.copying)
        return f"bench of {', '.join(named)}"


class LocksResult(Result[LockSurvey]):
    """The result of a comparison of locks: what each keeps out, lets in and survives."""

    def __repr__(self) -> str:
        return f"comparison of {', '.join(lock.name for lock in self._answer.document.locks)}"

    def assert_as_claimed(self) -> None:
        """Fail unless every lock does what it says of itself."""
        wrong = [f"{each.lock}: {each.property} is {each.value}" for each in self.record.cells if not each.ok]
        if wrong:
            raise AssertionError(f"{'; '.join(wrong)}\n\n{self}")


def _explored_case(case: ExploredCase) -> str:
    return f"{case.scenario} under {case.lock}, {plural(case.workers, 'worker')} x {plural(case.rounds, 'round')}"
