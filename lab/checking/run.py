"""Run one check: the requested parts, one after the other, and the document of their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.errors import ExitCode
from lab.host.environment import RunStart, anonymous_text, environment, is_local
from lab.locking import RECORDER
from lab.processes import note
from lab.records import (
    Check,
    CheckOptions,
    Hang,
    Host,
    LockProbe,
    Mount,
    PartitionResult,
    RandomPrograms,
    RuleResult,
    StressResult,
    Stuck,
    TurnResult,
)

from .actors.pool import ActorPool
from .blame import UNANSWERED
from .guarantees import BETWEEN_HOSTS, EXCLUSION
from .request import Request
from .rules import RULES
from .runner import Rule, hung, judge_all, not_tried
from .stress.plan import planned
from .stress.run import Over, stress
from .turns import cells, probe, take_turns
from .verdict.advice import advice
from .verdict.between_hosts import too_strict
from .verdict.evidence import NOT_REACHED
from .verdict.judge import Findings, exit_code, judge, not_asked, with_stress

RANDOM_SHARE = 3 / 8
"""The part of the seconds for the random programs; the stress has the rest."""

STEP_S = 60.0
"""A step of a check hangs if it takes longer than this, beyond the seconds that were requested."""

UNJUDGED = "not judged, for the mount does not answer any more: "

STUCK_AT_MOST = 2
"""No random program is tried when more processes than this are stuck in the kernel: each could add some."""

Announcer = Callable[[str], None]


class Silent(Exception):  # noqa: N818 - what happened
    """Mounts no longer answer: their numbers are `dead`, and `hang` has the call that showed it."""

    def __init__(self, hang: Hang, dead: Sequence[int]) -> None:
        super().__init__(hang.call)
        self.hang = hang
        self.dead = dead


Finding = RuleResult | StressResult | RandomPrograms | LockProbe | TurnResult | PartitionResult | Stuck


@dataclass
class Found:
    """The findings so far: all of them are kept, however the check ends."""

    rules: list[RuleResult] = field(default_factory=list)
    stress: list[StressResult] = field(default_factory=list)
    random: RandomPrograms | None = None
    stuck: list[Stuck] = field(default_factory=list)
    probes: list[LockProbe] = field(default_factory=list)
    turns: list[TurnResult] = field(default_factory=list)
    partitions: list[PartitionResult] = field(default_factory=list)

    def keep(self, finding: Finding) -> None:
        """Add one; of the random programs the last finding covers all of them."""
        match finding:
            case RandomPrograms():
                self.random = finding
            case RuleResult():
                self.rules.append(finding)
            case StressResult():
                self.stress.append(finding)
            case LockProbe():
                self.probes.append(finding)
            case TurnResult():
                self.turns.append(finding)
            case PartitionResult():
                self.partitions.append(finding)
            case Stuck():
                self.stuck.append(finding)


def run_parts(
    request: Request, options: CheckOptions, folders: Sequence[Path], keep: Callable[[Finding], None], tell: Announcer
) -> None:
    """Run the requested parts in these folders, which are one, seen through each of the mounts.

    `keep` receives each finding as soon as there is one, `tell` the name of the next step. Raises Silent, after the
    findings were reported, where a mount no longer answers; CannotRunError where the filesystem fills up or fork(2) is
    refused.
    """

    def begin(title: str) -> None:
        note(title, options.seconds + STEP_S)
        tell(title)

    parts = Parts(request, options, keep, begin)
    with ActorPool(folders) as actor_pool:
        parts.on(actor_pool)
        parts.perform_rules()
        actor_pool.rest()
        parts.race()
        parts.draw()


class Parts:
    """The parts of one check, and the findings of each that matter for the next ones.

    Where a host fails, a part is called again with the pool of the others, and does what it had not done.
    """

    _actor_pool: ActorPool

    def __init__(
        self, request: Request, options: CheckOptions, keep: Callable[[Finding], None], tell: Announcer
    ) -> None:
        self._request = request
        self._options = options
        self._keep = keep
        self._tell = tell
        self._hosts: Sequence[str] = ()
        self._refused: set[str] = set()
        self._useless: set[str] = set()
        self._done: set[object] = set()
        self._stuck = 0

    def on(self, actor_pool: ActorPool, hosts: Sequence[str] = ()) -> None:
        """Use the actors of this pool from now on, on these hosts."""
        self._actor_pool, self._hosts, self._stuck = actor_pool, hosts, 0

    def probe(self) -> None:
        """Let each host in turn hold each lock that was asked for, and all others ask for it."""
        if not {*BETWEEN_HOSTS} & {*self._request.parts}:
            return
        for lock in EXCLUSION:
            if ("probe", lock) in self._done:
                continue
            self._tell(f"who is refused: {lock}")
            found = list(probe(self._actor_pool.stage, self._hosts, lock))
            for each in found:
                self._keep(each)
                if each.verdict != "safe" and not too_strict(each):
                    self._useless.add(lock)
            for each in found:
                self._look(each.answer, each.calls)
            self._done.add(("probe", lock))

    def take_turns(self) -> None:
        """Let the hosts take turns, by each way to the data, under each lock that no host was falsely granted."""
        if "turns" not in self._request.parts:
            return
        locks = self.useful_locks
        for way, place, lock in cells(self._request.guarantees, locks):
            cell = (way.name, place, lock)
            if cell in self._done:
                continue
            self._tell(f"turns: {way.name}, {lock}")
            with self._actor_pool.stage() as stage:
                found = take_turns(stage, self._hosts, way, place, lock)
            self._keep(found)
            self._done.add(cell)
            self._look(found.observed, found.calls)

    @property
    def useful_locks(self) -> list[str]:
        """Return the locks that no host was falsely granted, and that all could ask for."""
        return [lock for lock in EXCLUSION if lock not in self._useless]

    def _look(self, observed: str, calls: Sequence[str]) -> None:
        """Raise Silent where a call was not answered, and a mount answers no other call either."""
        unanswered = calls[-1] if calls and observed.startswith(UNANSWERED) else ""
        if unanswered and (silence := self._silence(unanswered)):
            raise silence

    def perform_safe_rules(self) -> None:
        """Do as `perform_rules`, and leave out the rules that may harm a mount: those come last, on request."""
        self._perform_rules(risky=False)

    def perform_rules(self) -> None:
        """Keep the rules that no program shows, to be judged by the stress, and perform the others."""
        self._perform_rules(risky=self._options.faults or self._actor_pool.is_local())

    def _perform_rules(self, *, risky: bool) -> None:
        for result in left_to_the_stress(self._request):
            if result.number not in self._done:
                self._keep(result)
                self._done.add(result.number)
        rules = [rule for rule in performed(self._request, risky=risky) if rule.number not in self._done]
        for result in judge_all(rules, self._actor_pool, self._tell):
            self._done.add(result.number)
            call = result.calls[-1] if hung(result) else ""
            silence = self._silence(call)
            unjudged = replace(result, verdict="unknown", observed=f"{UNJUDGED}{call}")
            self._keep(unjudged if silence and call else result)
            if silence:
                raise silence
            self._refused |= {result.guarantee} if result.verdict == "unsupported" else set()

    def race(self, over: Over | None = None) -> None:
        """Run the stress, over several hosts where there is a way to."""
        if "stress" not in self._request.parts:
            return
        options = self._options
        share = 1 - RANDOM_SHARE * ("random" in self._request.parts)
        patience = self._actor_pool.know_handoffs()
        self._actor_pool.rest()
        rows = stress(
            self._actor_pool.folders, self._request.guarantees, share * options.seconds, options.seed, options.workers,
            self._tell, patience.handoffs, over, patience.asleep,
        )  # fmt: skip
        for row in rows:
            self._keep(row)
            if over:
                continue  # a host or a mount that fails is named by the race itself
            late = [failure for failure in row.case.failures if failure.how == "late"]
            if late and (silence := self._silence(f"a race for {row.guarantee}", late[0].where)):
                raise silence

    def draw(self) -> None:
        """Perform random programs of the locks not known to be refused; none where the rules left processes stuck."""
        families = [name for name in EXCLUSION if name not in self._refused]
        if "random" not in self._request.parts or not families or len(self._actor_pool.stuck) > STUCK_AT_MOST:
            return
        from .fuzz.run import Search  # imports a library that would slow down every fork before

        share = RANDOM_SHARE if "stress" in self._request.parts else 1
        self._tell("random programs")
        search = Search(self._actor_pool, families, share * self._options.seconds, self._options.seed, self._tell)
        try:
            search.perform()
        except BaseException:
            self._keep(search.result())
            raise
        self._keep_programs(search.result())

    def _keep_programs(self, done: RandomPrograms) -> None:
        """Keep their result; a call that was never answered is no difference where the mount answers no other call."""
        unanswered = [each for each in done.differences if "no answer" in each.observed]
        silence = self._silence(unanswered[0].calls[-1] if unanswered else "")
        answered = [each for each in done.differences if each not in unanswered]
        self._keep(replace(done, differences=answered) if silence else done)
        if silence:
            raise silence

    def _silence(self, call: str, where: str = "") -> Silent | None:
        """Return what ends the check, if something hung since the last look and a mount no longer answers.

        The evidence is that call, or a process that does not end on SIGKILL.
        """
        fresh, self._stuck = self._actor_pool.stuck[self._stuck :], len(self._actor_pool.stuck)
        dead = self._actor_pool.dead() if call or fresh else []
        if not dead:
            for each in fresh:
                self._keep(each)
            return None
        made, _, place = call.partition(", asleep in ")
        directories = [anonymous_text(str(self._actor_pool.folders[number].parent)) for number in dead]
        place = where or place or "".join(each.where for each in fresh[:1])
        return Silent(Hang(made or "the end of a program's processes", place, directories), dead)


def performed(request: Request, *, risky: bool = True) -> list[Rule]:
    """Return the rules that are performed: those on the requested guarantees.

    Those on deadlocks, which may leave processes, come late; last those that may harm a mount, if they are `risky`.
    """
    chosen = [rule for rule in RULES if rule.part in request.parts and rule.guarantee in request.guarantees]
    chosen = [rule for rule in chosen if rule.programs and (risky or not rule.risk)]
    return sorted(chosen, key=lambda rule: (bool(rule.risk), rule.guarantee == "deadlock", rule.number))


def left_to_the_stress(request: Request) -> Iterator[RuleResult]:
    """Yield the rules that only a race for a requested guarantee shows; each counts for a requested guarantee."""
    for rule in RULES if "stress" in request.parts else ():
        racing = [entry.guarantee for entry in planned(request.guarantees) if rule.number in entry.rules]
        if racing:
            guarantee = rule.guarantee if rule.guarantee in racing else racing[0]
            yield not_tried(replace(rule, guarantee=guarantee), "left to the stress")


def _left_out(request: Request, options: CheckOptions, mounts: Sequence[Mount], hosts: Sequence[Host]) -> list[Rule]:
    """Return the rules that were left out since they may harm a mount."""
    risky = options.faults or (is_local(mounts) and not hosts)
    return [rule for rule in performed(request) if rule not in performed(request, risky=risky)]


def _left_by(rows: Sequence[StressResult]) -> list[Stuck]:
    """Return the workers of the stress that did not end on SIGKILL."""
    failures = [failure for row in rows for failure in row.case.failures]
    return [Stuck(failure.pid, failure.where or "unknown") for failure in failures if failure.pid is not None]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a check: interrupted, or `early` for a reason, maybe a call without an answer; and what it left."""

    interrupted: bool = False
    early: str = ""
    hang: Hang | None = None
    left: Sequence[Stuck] = ()
    left_behind: Sequence[str] = ()

    @property
    def missing(self) -> str:
        """Return the reason why there are no more findings; empty where all are there."""
        if self.interrupted:
            return NOT_REACHED
        early = self.early
        if self.hang:
            early = "the mount stopped answering" if self.hang.directories else "a call had no answer"
        return f"not reached: {early}" if early else ""


def early_end(hang: Hang) -> str:
    """Return the reason why the check was given up."""
    asleep = f", asleep in {hang.where}" if hang.where else ""
    if not hang.directories:
        return f"a call has no answer, though the mount answers others: {hang.call}{asleep}"
    verb = "do" if len(hang.directories) > 1 else "does"
    return f"{' and '.join(hang.directories)} {verb} not answer any more: {hang.call}{asleep}"


def document(
    options: CheckOptions,
    request: Request,
    found: Found,
    mounts: Sequence[Mount],
    begun: RunStart,
    ending: Ending,
    hosts: Sequence[Host] = (),
) -> Check:
    """Return the document of all findings, judged; the mounts are those of several hosts where there are any.

    A hang of the whole mount that ended the check is no evidence against anything. Where it answered other calls, the
    processes that do not end on SIGKILL are a finding, as in a check that was completed.
    """
    rules = with_stress(sorted(found.rules, key=lambda result: result.number), found.stress)
    stuck = [*found.stuck, *_left_by(found.stress)]
    findings = Findings(
        rules,
        found.random,
        found.stress,
        [] if ending.hang and ending.hang.directories else stuck,
        ending.missing,
        detects=options.detects,
        seconds=options.seconds,
        probes=found.probes,
        turns=found.turns,
        partitions=found.partitions,
    )
    guarantees = judge(request, findings)
    directories = [anonymous_text(directory) for directory in options.directories]
    everybody = list({each.pid: each for each in (*ending.left, *stuck)}.values())
    first = mounts[0] if mounts else Mount("", "unknown", "")
    where = replace(
        environment(None, begun.load, RECORDER), filesystem=first.filesystem, mount_options=first.mount_options
    )
    return Check(
        **begun.header(where, interrupted=ending.interrupted),
        directories=directories,
        mounts=list(mounts),
        options=replace(options, directories=directories),
        safe=exit_code(request, guarantees) == ExitCode.AS_EXPECTED and not any(host.trouble for host in hosts),
        guarantees=guarantees,
        advice=advice(
            guarantees,
            mounts,
            rules,
            found.stress,
            everybody,
            found.probes,
            found.turns,
            found.partitions,
            on_hosts=bool(hosts),
        ),
        not_asked=not_asked(
            request, several=bool(hosts) or len(mounts) > 1, left_out=_left_out(request, options, mounts, hosts)
        ),
        rules=rules,
        random=found.random,
        stress=found.stress,
        stuck=everybody,
        ended_early=ending.early,
        hang=ending.hang,
        left_behind=list(ending.left_behind),
        hosts=list(hosts),
        probes=found.probes,
        turns=found.turns,
        partitions=found.partitions,
    )
