"""Judge the findings of a check: one line per guarantee with its strength and evidence, and the exit code.

Rules that no program shows are judged by the races that cover them. Guarantees that were not requested are listed, so
that a missing line is not mistaken for safety.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lab.analysis.statistics import plural
from lab.checking.blame import WAKING
from lab.checking.guarantees import EXCLUSION, FENCING, FILES, GUARANTEES, HELD, PARTITION, RANDOM
from lab.checking.request import CUTTING, Request
from lab.checking.runner import WORST_FIRST, Rule
from lab.checking.stress.plan import HOLDS, NEVER_TWO
from lab.errors import ExitCode
from lab.records import (
    CheckVerdict,
    Guarantee,
    LockProbe,
    PartitionResult,
    RandomPrograms,
    RuleResult,
    StressResult,
    Stuck,
    TurnResult,
)

from . import between_hosts
from .evidence import (
    STRESSED,
    about_data,
    about_exclusion,
    about_false_deadlocks,
    about_stuck,
    about_waking,
    double_grant,
    guarantee_limit,
    result_of,
    says_nothing,
    strength,
    too_weak,
)

OTHER_HOSTS = "what another host sees (takes a second mount of the filesystem)"
CUT_OFF = "what a host does that holds a lock and is cut off from the file server"
AFTER_A_CRASH = "what a crash or a power loss leaves (no check asks)"


def not_asked(request: Request, *, several: bool, left_out: Sequence[Rule]) -> list[str]:
    """Return the sentences about what was not requested.

    There is one for all guarantees that were not requested, one for other hosts where there is one directory, or for a
    host that is cut off where there are several, one for what no check tests, and one for each rule that was left out
    since it may harm a mount.
    """
    names = [name for name in GUARANTEES if name not in request.guarantees and name not in FENCING]
    said = [f"{', '.join(names)} (--only)"] if names else []
    said += [] if several else [OTHER_HOSTS]
    said += [f"{CUT_OFF} ({CUTTING})"] if request.on_hosts and PARTITION not in request.parts else []
    said += [AFTER_A_CRASH]
    return said + [f"rule {rule.number}, for {rule.risk}; --faults asks it too" for rule in left_out]


NONE_MADE_UP = 46
"""The rule that a process which only waits never gets EDEADLK: programs show it, and a race with many more requests."""

WORST_STRESS_FIRST: tuple[CheckVerdict, ...] = ("unsafe", "unknown", "safe", "unsupported")
"""A race that was refused is no evidence against a rule that another race shows."""


def judge_by_stress(rule: RuleResult, stress: Sequence[StressResult]) -> RuleResult:
    """Return the entry of the rule by the worst race that covers it; where it breaks, it counts for that guarantee."""
    if rule.number == NONE_MADE_UP:
        return _with_deadlocks(rule, stress)
    rows = [row for row in stress if rule.number in row.rules]
    if not rows:
        return rule
    worst = min(rows, key=lambda row: WORST_STRESS_FIRST.index(_says(rule.number, row)))
    verdict = _says(rule.number, worst)
    if verdict == "safe":
        return replace(rule, verdict=verdict, observed=f"as demanded in {plural(len(rows), 'race')}")
    wanted = "holds apart" if rule.number in (NEVER_TWO, HOLDS) else "no damage"
    return replace(rule, verdict=verdict, guarantee=worst.guarantee, expected=wanted, observed=result_of(worst))


def _with_deadlocks(rule: RuleResult, stress: Sequence[StressResult]) -> RuleResult:
    """Return the rule, unsafe where races met EDEADLK: no race has a cycle, so every EDEADLK is false."""
    for _, words in about_false_deadlocks(stress):
        return replace(rule, verdict="unsafe", expected="no EDEADLK", observed=words, calls=[])
    return rule


def _says(number: int, row: StressResult) -> CheckVerdict:
    """Return the verdict of a race on a rule: two rules are about the holds, the others about the data."""
    broken = row.case.overlapping_holds if number in (NEVER_TWO, HOLDS) else row.case.damage
    if broken:
        return "unsafe"
    return "safe" if row.verdict == "unsafe" else row.verdict


NOTHING = "nothing was tried"
"""The words that are reported last among equal verdicts; words with "not tried" come just before them."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings of the parts of a check; `missing` is the reason why there are no more, empty where it is complete.

    `detects` is the strength that was demanded of the races, and `seconds` how long they and the random programs had.
    """

    rules: Sequence[RuleResult] = ()
    random: RandomPrograms | None = None
    stress: Sequence[StressResult] = ()
    stuck: Sequence[Stuck] = ()
    missing: str = ""
    detects: float | None = None
    seconds: float = 0.0
    probes: Sequence[LockProbe] = ()
    turns: Sequence[TurnResult] = ()
    partitions: Sequence[PartitionResult] = ()


class Said(NamedTuple):
    """The verdict of one finding on a guarantee, and its objection or gap in words; the words may be empty."""

    verdict: CheckVerdict
    words: str = ""


def judge(request: Request, found: Findings) -> list[Guarantee]:
    """Return one entry for each requested guarantee, in their order."""
    return [_guarantee(name, request, found) for name in request.guarantees]


def exit_code(request: Request, guarantees: Sequence[Guarantee]) -> ExitCode:
    """Return DAMAGE where a requested guarantee is unsafe, UNABLE where it is inconclusive or there is no such lock.

    A guarantee that is not supported and is neither a lock nor named in `--only` leaves it 0, if anything is safe.
    """
    verdicts = {each.verdict for each in guarantees}
    missed = [
        each for each in guarantees if each.verdict == "unsupported" and each.name in {*EXCLUSION, *request.named}
    ]
    if "unsafe" in verdicts:
        return ExitCode.DAMAGE
    inconclusive = "unknown" in verdicts or missed or "safe" not in verdicts
    return ExitCode.UNABLE if inconclusive else ExitCode.AS_EXPECTED


def with_stress(rules: Sequence[RuleResult], stress: Sequence[StressResult]) -> list[RuleResult]:
    """Return the rules, with the results of the races that cover some of them."""
    return [judge_by_stress(rule, stress) for rule in rules]


def _guarantee(name: str, request: Request, found: Findings) -> Guarantee:
    said = [
        *(Said(verdict, words) for verdict, words in between_hosts.about_probes(name, found.probes)),
        *(Said(verdict, words) for verdict, words in between_hosts.about_turns(name, found.turns)),
        *(Said(verdict, words) for verdict, words in between_hosts.about_partitions(name, found.partitions)),
        *_by_rules(name, found),
        *_by_random(name, found),
        *_by_stress(name, found),
        *_missing(name, request, found),
    ]
    said.sort(key=lambda one: (WORST_FIRST.index(one.verdict), NOTHING in one.words, "not tried" in one.words))
    verdict = said[0].verdict if said else "unknown"
    if verdict == "safe" and found.missing:
        verdict, said = "unknown", [Said("unknown", found.missing), *said]
    weak = too_weak(name, found.detects, found.stress, found.seconds)
    if verdict == "safe" and weak:
        verdict, said = "unknown", [Said("unknown", weak), *said]
    return Guarantee(
        name=name,
        title=GUARANTEES[name],
        verdict=verdict,
        strength="; ".join(
            [
                *between_hosts.strengths(name, found.probes, found.turns),
                *between_hosts.strength_of_cuts(name, found.partitions),
                *filter(None, [strength(name, found.rules, found.random, found.stress)]),
            ]
        ),
        evidence=list(dict.fromkeys(one.words for one in said if one.words)),
        detection_limit=guarantee_limit(name, found.stress),
    )


def _by_rules(name: str, found: Findings) -> Iterator[Said]:
    """Yield the verdicts of its rules, and for a lock of all that saw it granted twice; unguaranteed rules are silent.

    What a rule cannot decide because something else is missing is reported beside what the others say.
    """
    rules = [rule for rule in found.rules if rule.guaranteed and rule.number not in STRESSED]
    own = [rule for rule in rules if rule.guarantee == name]
    some = any(rule.verdict != "unknown" for rule in own)
    for rule in own:
        if rule.verdict == "unknown":
            yield Said("safe" if some and says_nothing(rule) else "unknown", f"rule {rule.number}: {rule.observed}")
        elif rule.verdict == "safe":
            yield Said("safe")
        else:
            yield _departed(rule)
    yield from (_departed(rule) for rule in rules if rule.guarantee != name and double_grant(rule) == name)


def _departed(rule: RuleResult) -> Said:
    refused = " (not supported)" if rule.verdict == "unsupported" else ""
    return Said(rule.verdict, f"rule {rule.number}{refused}: expected {rule.expected}, observed {rule.observed}")


def _by_random(name: str, found: Findings) -> Iterator[Said]:
    if found.random is None or not found.random.programs or name not in RANDOM:
        return
    yield Said("safe")
    for each in found.random.differences:
        if each.guarantee == name:
            yield Said(
                "unsafe", f"random program: {each.calls[-1]}; expected {each.expected}, observed {each.observed}"
            )


def _by_stress(name: str, found: Findings) -> Iterator[Said]:
    """Yield the verdicts of the races: for a lock overlaps, for files corruption, and the processes left behind."""
    if name in HELD:
        said = about_exclusion(name, found.stress)
    elif name in FILES:
        said = about_data(name, found.stress)
    elif name == "deadlock":
        said = about_false_deadlocks(found.stress)
    elif name == WAKING:
        said = about_waking(found.stress)
    elif name == "death":
        said = about_stuck(found.stuck, found.rules, found.stress)
    else:
        return
    yield from (Said(verdict, words) for verdict, words in said)


def _missing(name: str, request: Request, found: Findings) -> Iterator[Said]:
    """Yield the parts that were to judge the guarantee and have no finding about it."""
    ruled = any(rule.guarantee == name and rule.number not in STRESSED for rule in found.rules)
    has = {
        "rules": ruled,
        "faults": ruled,
        "random": found.random is not None and found.random.programs > 0,
        "stress": any(row.guarantee == name for row in found.stress),
        "probe": any(each.lock == name for each in found.probes),
        "turns": any(each.guarantee == name for each in found.turns),
        PARTITION: bool(found.partitions),
    }
    judges = request.judges_of(name)
    if not judges:
        yield Said("unknown", f"not judged by what was run: {', '.join(request.parts)}")
    for part in judges:
        if not has[part]:
            lawless = part in ("turns", PARTITION) and not between_hosts.excluded(found.probes)
            why = "no lock that was tried excludes between the hosts" if lawless else NOTHING
            yield Said("unknown", found.missing or f"{part}: {why}")
