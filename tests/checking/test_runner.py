from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from lab.checking.blame import is_refusal
from lab.checking.language import Call, Step, parse
from lab.checking.runner import Departure, Rule, departures, not_tried, worst_result
from lab.errors import CannotRunError

TWO_CALLS = "A: open f; A: F_SETLK f write 0 1; B: F_SETLK f write 0 1 = EAGAIN | EACCES; B: exit"


class Scripted:
    """A stage on which everything succeeds but the calls that it has another answer to."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.performed: list[str] = []

    def perform(self, call: Call, expected: Sequence[str]) -> str:
        self.performed.append(str(Step(call, tuple(expected))))
        return self.answers.get(str(call), "ok")


def found(program: str, answers: dict[str, str]) -> Departure | None:
    return next(iter(departures(parse(program), Scripted(answers))), None)


def rule(*programs: str, unguaranteed: str = "") -> Rule:
    return Rule(1, "It holds.", "a manual", "posix", programs, unguaranteed)


class Stages:
    """A new stage for each program, and how many there were."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.count = 0

    @contextmanager
    def __call__(self) -> Iterator[Scripted]:
        self.count += 1
        yield Scripted(self.answers)


@pytest.mark.parametrize("denied", ["EAGAIN", "EACCES"])
def test_a_program_that_goes_as_it_should_has_no_departure(denied: str) -> None:
    assert found(TWO_CALLS, {"B: F_SETLK f write 0 1": denied}) is None


def test_the_first_call_that_goes_otherwise_is_told_with_those_before_it() -> None:
    departed = found(TWO_CALLS, {"B: F_SETLK f write 0 1": "granted", "B: exit": "SIGSEGV"})
    assert departed == Departure(
        ("A: open f = ok", "A: F_SETLK f write 0 1 = ok", "B: F_SETLK f write 0 1 = granted"),
        "EAGAIN or EACCES",
        "granted",
        "unsafe",
    )


def test_the_stage_is_told_what_a_call_should_come_to() -> None:
    stage = Scripted({"B: F_SETLK f write 0 1": "EAGAIN"})
    departures(parse(TWO_CALLS), stage)
    assert stage.performed == [str(step) for step in parse(TWO_CALLS)]


def test_nothing_is_performed_after_a_departure() -> None:
    stage = Scripted({"A: open f": "EROFS"})
    departures(parse(TWO_CALLS), stage)
    assert [call.partition(" = ")[0] for call in stage.performed] == ["A: open f"]


@pytest.mark.parametrize("observed", ["waits", "does not wait", "ENOENT"])
def test_a_call_that_has_to_succeed_does_nothing_else(observed: str) -> None:
    assert found("A: open f", {"A: open f": observed})


@pytest.mark.parametrize(
    ("line", "observed", "refused"),
    [
        ("A: F_SETLK f write 0 1", "ENOLCK", True),
        ("A: F_GETLK f write 0 1", "ENOSYS", True),
        ("A: flock f shared", "EOPNOTSUPP", True),
        ("A: thread F_SETLK f write 0 1", "ENOLCK", True),
        ("A: last flock f shared wait", "ENOSYS", True),
        ("A: F_OFD_SETLK f write 0 1", "EINVAL", True),
        ("A: map f 100", "ENODEV", True),
        ("A: F_SETLK f write 0 1", "EINVAL", False),
        ("A: F_SETLK f write 0 1", "EAGAIN", False),
        ("A: open f", "ENOSYS", False),
        ("A: map f 100", "EACCES", False),
    ],
)
def test_a_mount_that_does_not_have_the_call_says_so(line: str, observed: str, refused: bool) -> None:
    [step] = parse(line)
    assert is_refusal(step.call, observed) is refused


def test_what_stands_in_brackets_is_not_supported() -> None:
    program = "B: F_SETLKW f write 0 1 = EDEADLK | (waits)"
    departed = found(program, {"B: F_SETLKW f write 0 1": "waits"})
    assert departed
    assert departed.verdict == "unsupported"
    assert found(program, {"B: F_SETLKW f write 0 1": "EDEADLK"}) is None


@pytest.mark.parametrize(("observed", "right"), [("write 0 9 by somebody", True), ("write 0 8 by somebody", False)])
def test_a_holder_on_another_host_may_be_anybody(observed: str, right: bool) -> None:
    call = "B: F_GETLK f read 0 1"
    assert (found(f"{call} = write 0 9 by A", {call: observed}) is None) is right


@pytest.mark.parametrize("observed", ["ENOSPC", "EDQUOT"])
def test_a_filesystem_that_is_full_ends_it(observed: str) -> None:
    with pytest.raises(CannotRunError, match="full"):
        found("A: write f 0 text", {"A: write f 0 text": observed})


def test_a_rule_is_safe_when_all_its_programs_go_as_they_should() -> None:
    stages = Stages({})
    result = worst_result(rule("A: open f", "A: open g"), stages)
    assert (result.verdict, result.observed, result.calls, stages.count) == ("safe", "as demanded", [], 2)


def test_a_rule_is_broken_by_one_of_them_and_the_others_are_not_tried() -> None:
    stages = Stages({"A: close g": "EIO"})
    result = worst_result(rule("A: close f", "A: close g", "A: close h"), stages)
    assert (result.verdict, result.expected, result.observed) == ("unsafe", "success", "EIO")
    assert (result.calls, stages.count) == (["A: close g = EIO"], 2)


@pytest.mark.parametrize("programs", [("A: flock f shared", "A: close f"), ("A: close f", "A: flock f shared")])
def test_broken_outweighs_not_supported(programs: tuple[str, ...]) -> None:
    answers = {"A: flock f shared": "ENOSYS", "A: close f": "EIO"}
    assert worst_result(rule(*programs), Stages(answers)).observed == "EIO"


def test_a_rule_of_which_a_part_is_refused_is_not_supported() -> None:
    result = worst_result(rule("A: flock f shared", "A: open f"), Stages({"A: flock f shared": "ENOSYS"}))
    assert (result.verdict, result.observed) == ("unsupported", "ENOSYS")


def test_an_unguaranteed_rule_says_why() -> None:
    result = worst_result(rule("A: open f", unguaranteed="no manual tells it"), Stages({}))
    assert (result.guaranteed, result.reason) == (False, "no manual tells it")


def test_of_a_rule_that_was_not_tried_nothing_is_known() -> None:
    result = not_tried(rule("A: open f"), "3 calls hung before")
    assert (result.verdict, result.observed, result.guaranteed) == ("unknown", "not tried: 3 calls hung before", True)


def test_of_a_rule_that_only_the_stress_can_judge_nothing_is_known() -> None:
    stages = Stages({})
    assert (worst_result(rule(), stages).verdict, stages.count) == ("unknown", 0)
