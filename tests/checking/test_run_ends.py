"""What is kept of a check that is interrupted, meets stuck processes or cannot go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.checking import run, supervise
from lab.checking.actors import controller, pool
from lab.checking.actors.pool import ActorPool
from lab.checking.actors.stage import RealStage
from lab.checking.fuzz.compare import Twins
from lab.checking.fuzz.generate import Drawing, Program
from lab.checking.runner import Rule
from lab.errors import CannotRunError, UsageError
from lab.processes import guarded
from lab.records import CheckOptions, Failure, RuleResult, StressResult, Stuck
from tests.checking.mounts import FILESYSTEMS
from tests.checking.running import (
    LEFT_WAITING,
    SECONDS,
    Told,
    checked,
    left_in,
    numbers,
    raced_for,
    results,
    verdicts,
    watch_random_programs,
)
from tests.helpers import in_fresh_process
from tests.report.checked_records import STUCK, case, race, rule


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

    vars(run).update(judge_all=judge_all, stress=stress)
    vars(pool)["silent"] = silent
    return {**checked(directory, only), "asked_mounts": len(asked_mounts)}


def test_what_a_check_does_where_processes_are_stuck(tmp_path: Path) -> None:
    few, many = ([*range(1, run.STUCK_AT_MOST + more)] for more in (1, 2))
    asked = [
        (["death", "posix", "stress", "rules"], True, [STUCK.pid, 2]),
        (["posix"], False, [1]),
        *((["posix"], True, pids) for pids in ([], [1], few, many)),
    ]
    twice, silent, none, one, few_are, many_are = in_fresh_process(
        results, __name__, "with_stuck", [[str(tmp_path), *each] for each in asked]
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


def with_refused(directory: str, names: list[str]) -> list[str]:
    """The families of which random programs are made where these locks are not supported; empty where none are."""
    heard: list[str] = []
    watch_random_programs(lambda families, _: heard.extend(families))
    vars(run).update(judge_all=lambda *_: iter([rule(18, name, "unsupported") for name in names]))
    checked(directory, ["rules", "random"])
    return heard


def test_random_programs_are_of_the_locks_that_are_not_refused(tmp_path: Path) -> None:
    refused = [[], ["ofd", "ranges"], ["posix", "ofd", "flock"]]
    left = in_fresh_process(results, __name__, "with_refused", [[str(tmp_path), names] for names in refused])
    assert left == [["posix", "ofd", "flock"], ["posix", "flock"], []]


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
