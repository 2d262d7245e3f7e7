"""One check: the parts that were asked for, one after the other, and the document of what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.environment import Begun, anonymous_text, environment
from lab.locks import RECORDER
from lab.processes import Terminated, stop_on_sigterm, stops_held
from lab.results import SCHEMA, Check, CheckOptions, Mount, RandomPrograms, RuleResult, Soaked, Stuck

from .actors.company import Company
from .directories import answers
from .perform import not_tried
from .promises import EXCLUSION, Asked, asked_for
from .rule import Rule
from .rules import RULES
from .soak.plan import planned
from .soak.races import check_workers, soak
from .specification import judge_all
from .verdict.advice import advice
from .verdict.judge import SAFE, Findings, exit_code, judge, with_soak

FIRST_FAULT = 69
"""The rules from this number on are the faults."""

RANDOM_SHARE = 3 / 8
"""The part of the seconds that goes to the random programs; the soak has the rest."""

STUCK_AT_MOST = 2
"""With more processes stuck in the kernel no random program is tried: each could add some."""

Tell = Callable[[str], None]


@dataclass
class Found:
    """What has been found so far: all of it is kept when somebody interrupts."""

    rules: list[RuleResult] = field(default_factory=list)
    soak: list[Soaked] = field(default_factory=list)
    random: RandomPrograms | None = None
    stuck: list[Stuck] = field(default_factory=list)
    complete: bool = False


def check(options: CheckOptions, folders: Sequence[Path], mounts: Sequence[Mount], tell: Tell) -> Check:
    """Run what `options.only` asks for in these folders, which are one, seen through each of the mounts.

    What is finished when somebody interrupts (Ctrl-C, SIGTERM) is kept, and the document says `interrupted`. Raises
    UsageError, before anything is run, for more workers than a race has room for; CannotRunError where the filesystem
    fills up or fork(2) is refused.
    """
    asked = asked_for(options.only, len(folders))
    check_workers(asked.promises if "soak" in asked.parts else (), options.workers)
    begun, found = Begun(), Found()
    with _interruptible(found), Company(folders) as company:
        found.stuck = company.stuck
        found.rules = list(left_to_the_soak(asked))
        for result in judge_all(performed(asked), company, tell):
            found.rules.append(result)
        company.rest()
        if not company.stuck or answers(folders[0]):
            for row in _soaked(asked, options, folders, tell):
                found.soak.append(row)
            _draw(asked, options, company, found, tell)
    with stops_held():
        return _document(options, asked, found, mounts, begun, folders)


@contextmanager
def _interruptible(found: Found) -> Iterator[None]:
    try:
        with stop_on_sigterm():
            yield
        found.complete = True
    except (KeyboardInterrupt, Terminated):
        pass


def performed(asked: Asked) -> list[Rule]:
    """The rules that are performed: those on what is asked; those on deadlocks, which may leave processes, last."""
    chosen = [rule for rule in RULES if rule.promise in asked.promises and not rule.soaked]
    parts = [rule for rule in chosen if ("faults" if rule.number >= FIRST_FAULT else "rules") in asked.parts]
    return sorted(parts, key=lambda rule: (rule.promise == "deadlock", rule.number))


def left_to_the_soak(asked: Asked) -> Iterator[RuleResult]:
    """The rules that no program shows and a race for what is asked does; each counts for a promise that is asked."""
    for rule in RULES if "soak" in asked.parts else ():
        racing = [entry.promise for entry in planned(asked.promises) if rule.number in entry.rules]
        if racing:
            promise = rule.promise if rule.promise in racing else racing[0]
            yield not_tried(replace(rule, promise=promise), "left to the soak")


def _soaked(asked: Asked, options: CheckOptions, folders: Sequence[Path], tell: Tell) -> Iterable[Soaked]:
    if "soak" not in asked.parts:
        return []
    share = 1 - RANDOM_SHARE * ("random" in asked.parts)
    return soak(folders, asked.promises, share * options.seconds, options.seed, options.workers, tell)


def _draw(asked: Asked, options: CheckOptions, company: Company, found: Found, tell: Tell) -> None:
    """Random programs of the locks that are not known to be refused; none where the rules left processes stuck."""
    families = [name for name in EXCLUSION if not any(_refuses(result, name) for result in found.rules)]
    if "random" not in asked.parts or not families or len(company.stuck) > STUCK_AT_MOST:
        return
    from .drawn.search import Search  # imports a library that every fork before would have paid for

    share = RANDOM_SHARE if "soak" in asked.parts else 1
    tell("random programs")
    search = Search(company, families, share * options.seconds, options.seed, tell)
    try:
        search.perform()
    finally:
        found.random = search.result()


def _refuses(result: RuleResult, family: str) -> bool:
    return result.promise == family and result.verdict == "unsupported"


def _left_by(rows: Sequence[Soaked]) -> list[Stuck]:
    """The workers of the soak that did not end on SIGKILL."""
    failures = [failure for row in rows for failure in row.case.failures]
    return [Stuck(failure.pid, failure.where or "unknown") for failure in failures if failure.pid is not None]


def _document(
    options: CheckOptions,
    asked: Asked,
    found: Found,
    mounts: Sequence[Mount],
    begun: Begun,
    folders: Sequence[Path],
) -> Check:
    rules = with_soak(sorted(found.rules, key=lambda result: result.number), found.soak)
    stuck = list({each.pid: each for each in (*found.stuck, *_left_by(found.soak))}.values())
    findings = Findings(
        rules, found.random, found.soak, stuck, found.complete, detects=options.detects, seconds=options.seconds
    )
    promises = judge(asked, findings)
    directories = [anonymous_text(directory) for directory in options.directories]
    return Check(
        schema=SCHEMA,
        command="check",
        started=begun.moment,
        wall_s=begun.wall_s,
        interrupted=not found.complete,
        environment=environment(folders[0], begun.load, RECORDER),
        directories=directories,
        mounts=list(mounts),
        options=replace(options, directories=directories),
        safe=exit_code(asked, promises) == SAFE,
        promises=promises,
        advice=advice(promises, mounts, rules, found.soak, stuck),
        rules=rules,
        random=found.random,
        soak=found.soak,
        stuck=stuck,
    )
