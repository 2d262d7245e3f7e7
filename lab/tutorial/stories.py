"""Tell why a lock fails anyway: the counterexamples of the gallery as stories, in which every answer is a real one.

Three are the explorer's shortest failure. The others are about processes and files, which are not simulated: they are
programs (`lab.tutorial.programs`), performed on the model of the kernel, which the tests compare with the real one.
"""

from __future__ import annotations

from dataclasses import replace

from lab.checking.language import parse
from lab.checking.oracle import ModelStage
from lab.exploring.run import Case, explore
from lab.records import Account, ExploredCase, ExploreOptions, Step, Story, StoryCall
from lab.scenario import Found, find_scenarios
from lab.scenario.find import counterexample_names

from .programs import ACTORS, BROKEN, FIXED, Line, lines_of

OPTIONS = ExploreOptions(
    scenarios=[],
    locks=["fcntl"],
    workers=[2],
    rounds=[1],
    search="auto",
    preemptions=3,
    line_bytes=64,
    seed=0,
    jobs=1,
    time_limit_s=10.0,
    show_schedules=0,
)


def stories() -> list[Story]:
    """Return all counterexamples, in the order of teaching."""
    return [_story(*find_scenarios([name])) for name in counterexample_names()]


def _story(found: Found, fixed: Found | None = None) -> Story:
    simulated = "explore" in found.kind.worlds
    why, fix = why_and_fix(found.kind.why)
    return Story(
        scenario=found.name,
        summary=found.summary,
        source="explored" if simulated else "performed",
        broken=account_of(failure_of(found)) if simulated else perform_program(BROKEN[found.name]),
        why=why,
        fix=fix,
        fixed=_holds(fixed) if simulated and fixed else perform_program(FIXED[found.name]),
    )


def why_and_fix(text: str) -> tuple[str, str]:
    """Return the sentences of a counterexample's `why` that give the reason, and the one that gives the fix."""
    sentences = [f"{each.rstrip('.')}." for each in text.split(". ")]
    fix = [each for each in sentences if " fix" in each]
    return " ".join(each for each in sentences if each not in fix), " ".join(fix)


# Explored


def failure_of(found: Found) -> ExploredCase:
    """Explore two workers, one round each, under fcntl, with up to three preemptions."""
    return explore(Case(found, "fcntl", 2, 1), OPTIONS)


def account_of(record: ExploredCase) -> Account:
    """Return the explorer's shortest failure as a story.

    It fails where a request is refused, or with the last store.
    """
    refused = [place for place, step in enumerate(record.steps) if step.value == "EDEADLK"]
    stores = [place for place, step in enumerate(record.steps) if step.operation == "store"]
    wrong = (refused or stores)[-1]
    calls = [_call_of(step) for step in record.steps]
    calls[wrong] = replace(calls[wrong], wrong=True, note=record.headline)
    workers = [f"worker {number}" for number in range(record.workers)]
    return Account(workers, calls, list(record.reasons))


def _call_of(step: Step) -> StoryCall:
    """Return a step in the notation of the explorer's report."""
    refused = " REFUSED (EDEADLK)" if step.value == "EDEADLK" else ""
    signs = {"load": f"{step.field} -> {step.value}", "store": f"{step.field} = {step.value}"}
    return StoryCall(
        step.worker, signs.get(step.operation, f"{step.operation} {step.field}{refused}"), "", "", wrong=False
    )


def _holds(fixed: Found) -> Account:
    record = failure_of(fixed)
    if record.verdict != "holds":
        raise AssertionError(f"{fixed.name} is no fix: {record.headline}")
    return Account([], [], [f"The explorer ran {record.covered} with the fix, and none breaks."])


# Performed


def perform_program(program: str) -> Account:
    """Return the program as performed on the model, with the result of each call there."""
    stage = ModelStage()
    lines = lines_of(program)
    workers = list(dict.fromkeys(_actor(line) for line in lines))
    calls = [_perform_line(stage, workers.index(_actor(line)), line) for line in lines]
    return Account([ACTORS[who] for who in workers], calls, [])


def _actor(line: Line) -> str:
    (step,) = parse(line.call)
    return f"{step.call.actor} thread" if step.call.verb == "thread" else step.call.actor


def _perform_line(stage: ModelStage, worker: int, line: Line) -> StoryCall:
    (step,) = parse(line.call)
    result = stage.perform(step.call)
    if result not in step.expected:
        raise AssertionError(f"{step.call} gave {result}, not {step.wanted}")
    words = str(step.call.made).partition(": ")[2] if step.call.verb == "thread" else str(step.call).partition(": ")[2]
    return StoryCall(worker, words, result, line.note, line.wrong)
