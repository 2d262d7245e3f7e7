"""One check: which parts run, what the document has of them, and what is kept when it is stopped or cannot go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.checking import run, supervise
from lab.checking.actors import controller
from lab.checking.actors.pool import ActorPool
from lab.checking.actors.stage import RealStage
from lab.checking.fuzz.compare import Twins
from lab.checking.fuzz.generate import Drawing, Program
from lab.checking.request import request_for
from lab.checking.runner import Rule
from lab.checking.stress.plan import planned
from lab.checking.verdict.judge import not_asked
from lab.errors import CannotRunError, UsageError
from lab.host.environment import RunStart, mounts_of
from lab.locking import RECORDER
from lab.processes import Terminated, guarded, stop_on_sigterm
from lab.records import Check, CheckOptions, Failure, Mount, RandomPrograms, RuleResult, StressResult, Stuck
from tests.checking.mounts import FILESYSTEMS
from tests.helpers import OtherProcess, in_fresh_process
from tests.report.checked_records import STUCK, case, programs, race, rule

SECONDS = 0.5
WORKERS = 2
STRESSED = [*range(61, 69), *range(99, 105)]
LEFT_WAITING = "A: open f; B: open f; A: F_SETLK f write 0 1; B: F_SETLKW f write 0 1 = waits; B: returns"

Told = dict[str, Any]


def checked(directory: str, only: Sequence[str], stop_at: str = "", seconds: float = SECONDS) -> Told:
    """The document, what was told, and what is left; interrupted where the title begins so."""
    folder, told = Path(directory), list[str]()

    def tell(title: str) -> None:
        if stop_at and title.startswith(stop_at):
            raise KeyboardInterrupt
        told.append(title)

    done = check_in(folder, CheckOptions([directory], list(only), seconds, 0, WORKERS), tell)
    return {**asdict(done), "told": told, **left_in(folder)}


def check_in(folder: Path, options: CheckOptions, tell: run.Announcer) -> Check:
    """All parts, and their document, without the process that supervises them."""
    request, found, begun, ending = request_for(options.only), run.Found(), RunStart(), run.Ending()
    try:
        with stop_on_sigterm():
            run.run_parts(request, options, [folder], found.keep, tell)
    except (KeyboardInterrupt, Terminated):
        ending = run.Ending(interrupted=True)
    except run.Silent as silence:
        ending = run.Ending(early="it does not answer", hang=silence.hang)
    return run.document(options, request, found, mounts_of([folder]), begun, ending)


def left_in(folder: Path) -> Told:
    return {"left": [path.name for path in folder.iterdir()], "children": len(psutil.Process().children())}


def numbers(document: Told) -> list[int]:
    return [each["number"] for each in document["rules"]]


def verdicts(document: Told) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in document["guarantees"]}


def raced_for(*guarantees: str) -> set[int]:
    """The rules that the races for these guarantees show."""
    return {number for entry in planned(guarantees) for number in entry.rules}


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Told]]:
    """The document of a check of these guarantees and parts, each made once."""
    with OtherProcess() as other:
        yield cache(lambda *only: other.call(checked, str(tmp_path_factory.mktemp("check")), only))


def results(name: str, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """What this function of the module returns for each of the rows, in one process."""
    return [globals()[name](*row) for row in rows]


# What `--only` has run


MODES = [24, 25, 27, 28, 29]
PARTS: dict[str, tuple[list[str], Callable[[list[int]], bool], set[str]]] = {
    "rules": (["modes", "rules"], lambda found: found == MODES, set()),
    "a guarantee that neither stress nor random programs judge": (["modes"], lambda found: found == MODES, set()),
    "faults": (["posix", "faults"], lambda found: found == [74, 75], set()),
    "random": (["random"], lambda found: found == [], {"random"}),
    "stress": (["mapping", "stress"], lambda found: found == sorted(raced_for("mapping")), {"stress"}),
    "all for a guarantee": (
        ["posix", "deadlock"],
        lambda found: found == sorted(found) and {18, 44, 59, 74} | raced_for("posix") < set(found),
        {"random", "stress"},
    ),
}


@pytest.mark.parametrize("about", PARTS)
def test_no_other_part_is_run_than_that_of(about: str, check: Callable[..., Told]) -> None:
    only, right, parts = PARTS[about]
    found = check(*only)
    assert right(numbers(found)), numbers(found)
    assert {part for part in ("random", "stress") if found[part]} == parts
    assert (found["random"] is None, found["stress"] == []) == ("random" not in parts, "stress" not in parts)
    assert (found["interrupted"], found["left"], found["children"]) == (False, [], 0)
    assert found["environment"]["recorder"] == RECORDER


def test_what_was_asked_and_found_safe_makes_the_document_safe(check: Callable[..., Told]) -> None:
    found = check("modes", "posix", "rules")
    assert (verdicts(found), found["safe"]) == ({"posix": "safe", "modes": "safe"}, True)
    assert not {*numbers(found)} & {*STRESSED}, "which only the stress can judge"


def test_every_performed_rule_every_race_and_the_random_programs_are_told_before_they_begin(
    check: Callable[..., Told],
) -> None:
    told = check("posix", "deadlock")["told"]
    rules = [title for title in told if title.startswith("rule ")]
    races = [title for title in told if title.startswith("stress for ")]
    assert told == [*rules, *races, "random programs"]
    request = request_for(["posix", "deadlock"])
    assert (len(set(rules)), len(races)) == (len(run.performed(request)), len(planned(request.guarantees)))


def test_rules_that_may_harm_a_mount_come_last_those_on_deadlocks_before_them_and_the_others_by_their_numbers() -> None:
    rules = run.performed(request_for([]))
    ranks = [(bool(rule.risk), rule.guarantee == "deadlock", rule.number) for rule in rules]
    assert ranks == sorted(ranks)
    assert {deadlock for _, deadlock, _ in ranks} == {True, False}
    assert [rule.number for rule in rules if rule.risk] == [43]


NETWORK: list[tuple[list[str], bool, bool]] = [
    (["ext4"], False, True),
    (["ext4", "tmpfs"], False, True),
    (["nfs4"], False, False),
    (["ext4", "fuse"], False, False),
    (["fuse.glusterfs", "fuse.glusterfs"], True, True),
]
"""Kinds of mounts, whether faults are asked for, and whether the rule is performed that may harm a mount."""


def test_what_may_harm_a_network_mount_is_asked_there_only_with_faults(tmp_path: Path) -> None:
    found = in_fresh_process(results, "with_mounts", [[str(tmp_path), *row[:2]] for row in NETWORK])
    assert [43 in each["numbers"] for each in found] == [asked for *_, asked in NETWORK]
    said = [[words for words in each["not_asked"] if words.startswith("rule 43, for it signals")] for each in found]
    assert [len(words) for words in said] == [int(not asked) for *_, asked in NETWORK]
    assert all(words in ([], each["not_asked"][-1:]) for words, each in zip(said, found, strict=True))


@pytest.mark.parametrize(("directories", "said"), [(1, True), (2, False)])
def test_what_no_check_asks_is_said_and_on_one_mount_that_other_hosts_were_not_tried(
    directories: int, said: bool
) -> None:
    told = not_asked(request_for([]), several=directories > 1, left_out=[])
    assert any(each.startswith("what another host sees") for each in told) is said
    assert any(each.startswith("what a crash or a power loss leaves") for each in told)


def with_mounts(directory: str, kinds: list[str], faults: bool) -> dict[str, Any]:
    """The rules that are performed where the mounts are of these kinds, and what is said not to have been asked."""
    given: list[int] = []

    def judge_all(rules: Sequence[Rule], *_: object) -> Iterator[RuleResult]:
        given.extend(each.number for each in rules)
        yield rule(39, "blocking")

    mounts = [Mount(directory, kind, "rw") for kind in kinds]
    vars(run).update(judge_all=judge_all, mounts_of=lambda _: mounts)
    options = CheckOptions([directory] * len(kinds), ["blocking", "rules", "faults"], 1, 0, 2, faults=faults)
    request, found = request_for(options.only), run.Found()
    run.run_parts(request, options, [Path(directory)] * len(kinds), found.keep, lambda _: None)
    done = run.document(options, request, found, mounts, RunStart(), run.Ending())
    return {"numbers": given, "not_asked": done.not_asked}


def test_the_rules_alone_ask_for_each_guarantee_that_they_judge() -> None:
    request = request_for(["rules"])
    assert {rule.guarantee for rule in run.performed(request)} == set(request.guarantees)


SHARES = [(["posix"], 5.0, 3.0), (["posix", "stress"], 8.0, None), (["posix", "random"], None, 8.0)]


def watch_random_programs(heard: Callable[[list[str], float], None]) -> None:
    """Have the families and the seconds of the random programs heard, and none performed."""
    import lab.checking.fuzz.run as search

    class Searching:
        def __init__(self, _: ActorPool, families: list[str], seconds: float, *__: object) -> None:
            heard(families, seconds)

        def perform(self) -> None:
            """Take no time."""

        def result(self) -> RandomPrograms:
            return programs(number=0)

    vars(search).update(Search=Searching)


def shares(directory: str, only: list[str]) -> list[Any]:
    """The seconds that stress and random programs get of 8, and how many actors are there when the stress begins."""
    given: dict[str, float] = {}

    def stress(_: object, __: object, seconds: float, *___: object) -> list[StressResult]:
        given.update(stress=seconds, children=left_in(Path(directory))["children"])
        return []

    watch_random_programs(lambda _, seconds: given.update(random=seconds))
    vars(run).update(stress=stress)
    checked(directory, only, seconds=8)
    return [given.get("stress"), given.get("random"), given.get("children", 0)]


def test_stress_and_random_programs_share_the_seconds_and_no_actor_disturbs_the_stress(tmp_path: Path) -> None:
    found = in_fresh_process(results, "shares", [[str(tmp_path), only] for only, *_ in SHARES])
    assert found == [[stress, random, 0] for _, stress, random in SHARES]


# What the stress says of rules


def test_the_stress_judges_the_rules_that_no_program_shows(check: Callable[..., Told]) -> None:
    found = check("stress")
    assert numbers(found) == STRESSED
    assert {(each["verdict"], each["observed"].startswith("as demanded in ")) for each in found["rules"]} == {
        ("safe", True)
    }


@pytest.mark.parametrize("only", [["mapping", "stress"], ["neighbours", "flock", "stress"]])
def test_those_that_no_race_for_what_is_asked_shows_are_not_there_and_the_others_count_for_it(
    only: list[str], check: Callable[..., Told]
) -> None:
    found = check(*only)
    assert set(numbers(found)) == raced_for(*only)
    assert {each["guarantee"] for each in found["rules"]} <= {*only}
    assert {each["verdict"] for each in found["rules"]} == {"safe"}


def with_false_deadlocks(directory: str, count: int) -> Told:
    """A check whose stress had so many requests answered with EDEADLK."""
    row = race("posix", raced=case(false_deadlocks=count))
    vars(run).update(stress=lambda *_: [row])
    return checked(directory, ["deadlock", "posix", "rules", "stress"])


def test_a_deadlock_that_the_stress_met_breaks_rule_46(tmp_path: Path) -> None:
    found = in_fresh_process(results, "with_false_deadlocks", [[str(tmp_path), count] for count in (0, 5)])
    for each, verdict in zip(found, ("safe", "unsafe"), strict=True):
        assert {rule["number"]: rule["verdict"] for rule in each["rules"]}[46] == verdict
        assert verdicts(each) == {"posix": "safe", "deadlock": verdict}


# Interrupted


def stopped(found: Told) -> set[str]:
    """The verdicts of a check that was interrupted and left nothing."""
    assert (found["interrupted"], found["safe"]) == (True, False)
    assert (found["left"], found["children"]) == ([], 0)
    return set(verdicts(found).values())


def test_interrupted_among_the_rules_it_has_those_that_were_finished(tmp_path: Path) -> None:
    found = in_fresh_process(checked, str(tmp_path), ["modes", "posix", "rules"], "rule 24")
    assert found["told"] == [f"rule {number}" for number in numbers(found)]
    assert numbers(found) == [18, 19, 20, 21, 22]
    assert {each["verdict"] for each in found["rules"]} == {"safe"}
    assert stopped(found) == {"unknown"}


LATER = ["pread", "ownership", "rules", "stress", "random"]
RULES_OF_LATER = {30, 31, 32} | raced_for("pread")


def test_interrupted_among_the_races_it_has_all_rules_and_the_races_that_were_finished(tmp_path: Path) -> None:
    found = in_fresh_process(checked, str(tmp_path), LATER, "stress for pread: overlap")
    assert set(numbers(found)) > RULES_OF_LATER
    assert [row["case"]["scenario"] for row in found["stress"]] == ["append_log", "counter"]
    assert found["random"] is None
    assert stopped(found) == {"unknown"}


def test_interrupted_before_the_random_programs_it_has_all_rules_and_races(tmp_path: Path) -> None:
    found = in_fresh_process(checked, str(tmp_path), LATER, "random programs")
    assert set(numbers(found)) > RULES_OF_LATER
    assert (len(found["stress"]), found["random"]) == (4, None)
    assert stopped(found) == {"unknown"}


def interrupted_in_program(number: int, directory: str) -> Told:
    """Ctrl-C at the first call of the random program of this number."""
    real, begun = Twins.perform_all, list[Program]()

    def perform_all(twins: Twins, drawing: Drawing, program: Program) -> None:
        begun.append(program)
        if len(begun) == number:
            raise KeyboardInterrupt
        real(twins, drawing, program)

    type.__setattr__(Twins, "perform_all", perform_all)
    return checked(directory, ["ownership", "rules", "random"], seconds=60)


def test_interrupted_among_the_random_programs_it_has_all_rules_and_those_that_were_performed(tmp_path: Path) -> None:
    found = in_fresh_process(interrupted_in_program, 20, str(tmp_path))
    assert set(numbers(found)) > {30, 31, 32}
    assert found["random"]["programs"] == 19
    assert stopped(found) == {"unknown"}


def terminated(directory: str) -> Told:
    """A check to which SIGTERM comes while its second rule is judged."""
    real = vars(run)["judge_all"]

    def judge_all(rules: Sequence[Rule], actor_pool: ActorPool, tell: run.Announcer) -> Iterator[RuleResult]:
        for number, result in enumerate(real(rules, actor_pool, tell)):
            if number == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield result

    vars(run).update(judge_all=judge_all)
    return checked(directory, ["modes", "rules"])


def test_sigterm_ends_it_as_an_interrupt_does(tmp_path: Path) -> None:
    found = in_fresh_process(terminated, str(tmp_path))
    assert numbers(found) == [24]
    assert stopped(found) == {"unknown"}


def interrupted_while_somebody_waits(directory: str) -> Told:
    """Ctrl-C in the middle of a program."""

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    vars(run).update(RULES=(Rule(1, "One waits.", "nowhere", "posix", ("A: open f", LEFT_WAITING)),))
    type.__setattr__(RealStage, "_returns", interrupt)
    return checked(directory, ["posix", "rules"])


def test_interrupted_within_a_program_it_leaves_neither_files_nor_who_waits(tmp_path: Path) -> None:
    found = in_fresh_process(interrupted_while_somebody_waits, str(tmp_path))
    assert (numbers(found), stopped(found)) == ([], {"unknown"})


def reasons_of_a_failing_stress(directory: str) -> list[str]:
    """All that the document tells of a check in a folder of its own, whose workers raise at a file of theirs."""
    from lab.racing import worker

    folder = Path(directory, "lab-check-1-2")
    folder.mkdir()

    class Failing:
        def __init__(self, job: Any, index: int) -> None:
            raise OSError(5, "Input/output error", job.path)

    vars(worker).update(RaceWorker=Failing)
    options = CheckOptions([directory], ["pread", "stress"], SECONDS, 0, WORKERS)
    done = check_in(folder, options, lambda _: None)
    reasons = [row.case.reason for row in done.stress]
    return [*reasons, *done.guarantees[0].evidence, *(each.reason for row in done.stress for each in row.case.failures)]


def test_what_the_document_tells_of_a_place_is_told_by_its_own_name(tmp_path: Path) -> None:
    told = in_fresh_process(reasons_of_a_failing_stress, str(tmp_path))
    assert all(str(tmp_path) in reason for reason in told)
    assert [reason for reason in told if "lab-check-" in reason] == []


# Stuck processes


def with_stuck(directory: str, only: list[str], mount_answers: bool, pids: list[int]) -> Told:
    """A check whose rules leave these processes stuck, the first of which the stress reports as well."""
    late = Failure(0, 0, 0, "late", "did not end", pid=pids[0], where="elsewhere") if pids else None
    raced = race("posix", raced=case(failures=[late] if late else []))
    asked_mounts: list[Path] = []

    def judge_all(_: object, actor_pool: ActorPool, __: object) -> Iterator[RuleResult]:
        actor_pool.stuck.extend(Stuck(pid, "request_wait_answer") for pid in pids)
        yield rule(18, "posix")

    def stress(*_: object) -> list[StressResult]:
        return [raced]

    def silent(folders: Sequence[Path]) -> list[int]:
        asked_mounts.extend(folders)
        return [] if mount_answers else [0]

    vars(run).update(judge_all=judge_all, stress=stress, silent=silent)
    return {**checked(directory, only), "asked_mounts": len(asked_mounts)}


def test_what_a_check_does_where_processes_are_stuck(tmp_path: Path) -> None:
    few, many = ([*range(1, run.STUCK_AT_MOST + more)] for more in (1, 2))
    asked = [
        (["death", "posix", "stress", "rules"], True, [STUCK.pid, 2]),
        (["posix"], False, [1]),
        *((["posix"], True, pids) for pids in ([], [1], few, many)),
    ]
    twice, silent, none, one, few_are, many_are = in_fresh_process(
        results, "with_stuck", [[str(tmp_path), *each] for each in asked]
    )
    # One that rules and stress left is told once.
    assert [each["pid"] for each in twice["stuck"]] == [STUCK.pid, 2]
    assert verdicts(twice)["death"] == "unsafe"
    # On a mount that does not answer any more only the rules were tried.
    assert (silent["stress"], silent["random"], numbers(silent)) == ([], None, [18, *sorted(raced_for("posix"))])
    assert verdicts(silent) == {"posix": "unknown"}
    # A mount is asked whether it answers only after a part that left somebody stuck: the rules, and the stress.
    assert [each["asked_mounts"] for each in (none, one)] == [0, 2]
    # Random programs are tried beside a few stuck processes only.
    for each, tried in ((few_are, True), (many_are, False)):
        assert ("random programs" in each["told"], each["random"] is not None) == (tried, tried)


# Locks that are refused


def with_refused(directory: str, names: list[str]) -> list[str]:
    """The families of which random programs are made where these locks are not supported; empty where none are."""
    heard: list[str] = []
    watch_random_programs(lambda families, _: heard.extend(families))
    vars(run).update(judge_all=lambda *_: iter([rule(18, name, "unsupported") for name in names]))
    checked(directory, ["rules", "random"])
    return heard


def test_random_programs_are_of_the_locks_that_are_not_refused(tmp_path: Path) -> None:
    refused = [[], ["ofd", "ranges"], ["posix", "ofd", "flock"]]
    left = in_fresh_process(results, "with_refused", [[str(tmp_path), names] for names in refused])
    assert left == [["posix", "ofd", "flock"], ["posix", "flock"], []]


# What ends it


def refused_for_its_workers(directory: str, only: list[str]) -> Told:
    """The error that more workers than a race has room for end it with, and what was told and forked by then."""
    told: list[str] = []
    options = CheckOptions([directory], only, SECONDS, 0, 513)
    vars(guarded).update(fork_child=lambda *_, **__: told.append("a fork"))
    try:
        supervise.check(options, [Path(directory)], told.append)
    except UsageError as error:
        return {"error": str(error), "told": told, **left_in(Path(directory))}
    return {}


def test_more_workers_than_any_race_has_room_for_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    found = in_fresh_process(refused_for_its_workers, str(tmp_path), [])
    assert found == {
        "error": "scenario neighbours: 513 workers are more than its 512; lower --workers",
        "told": [], "left": [], "children": 0,
    }  # fmt: skip


def refusal(directory: str, only: list[str]) -> Told:
    """The error that ends it, and what is left."""
    try:
        checked(directory, only)
    except CannotRunError as error:
        return {"error": str(error), **left_in(Path(directory))}
    return {}


def test_a_filesystem_that_fills_up_ends_it_and_nothing_is_left() -> None:
    with ExitStack() as stack:
        [folder] = stack.enter_context(FILESYSTEMS["full"]())
        (folder / "filler").write_bytes(bytes(64 << 10))
        found = in_fresh_process(refusal, str(folder), ["blocking", "rules"])
    assert found["error"].startswith("the filesystem is full (ENOSPC for A: write f 4090 twelve-bytes);")
    assert (found["left"], found["children"]) == (["filler"], 0)


def refused_to_fork(directory: str, after: int) -> Told:
    """Fork is refused from some call on."""
    real, forks = vars(controller)["fork_child"], list[int]()

    def fork_child(body: Callable[[], None], **how: Any) -> int:
        if len(forks) == after:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        forks.append(real(body, **how))
        return forks[-1]

    vars(controller).update(fork_child=fork_child)
    return refusal(directory, ["posix", "rules"])


@pytest.mark.parametrize("after", [0, 1])
def test_a_fork_that_is_refused_ends_it_and_nothing_is_left(after: int, tmp_path: Path) -> None:
    found = in_fresh_process(refused_to_fork, str(tmp_path), after)
    assert found["error"].endswith(
        "(Resource temporarily unavailable); raise the limit (ulimit -u, or the container's limit of pids)"
    )
    assert (found["left"], found["children"]) == ([], 0)
