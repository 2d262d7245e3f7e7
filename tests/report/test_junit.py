from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from lab.records import Check
from lab.report.junit import junit
from tests.report.checked_records import case, check_of, difference, guarantee, programs, race, rule
from tests.report.explored_records import exploration_of
from tests.report.records import (
    CLEAN,
    DAMAGED,
    DIED,
    NOT_TRIED,
    REFUSED,
    SHUT_OUT,
    TOO_WEAK,
    UNLOCKED,
    run_of,
)


def suites(run: Check) -> dict[str, Xml.Element]:
    return {suite.attrib["name"]: suite for suite in Xml.fromstring(junit(run)).iter("testsuite")}  # noqa: S314 - ours


def outcomes(run: Check, name: str = "posix") -> dict[str, str]:
    """How each case of a suite came out, by its name."""
    return {
        found.attrib["name"]: next((child.tag for child in found if child.tag != "system-out"), "passed")
        for found in suites(run)[name]
    }


def told(run: Check, case_name: str) -> tuple[str, str]:
    """The message and the text of one case of the first suite."""
    (found,) = [each for each in suites(run)["posix"] if each.attrib["name"] == case_name]
    return found[0].attrib["message"], found[0].text or ""


def test_every_guarantee_is_a_suite_and_its_verdict_a_case() -> None:
    run = check_of(guarantee("posix"), guarantee("mapping", "unsafe"), guarantee("ofd", "unsupported"),
                   guarantee("death", "unknown"))  # fmt: skip
    assert list(suites(run)) == ["posix", "mapping", "ofd", "death"]
    found = [next(iter(outcomes(run, name).values())) for name in suites(run)]
    assert found == ["passed", "failure", "skipped", "error"]


def test_every_rule_of_the_guarantee_is_a_case() -> None:
    rules = [
        rule(1, "posix"), rule(2, "posix", "unsafe"), rule(3, "posix", "unsupported"), rule(4, "posix", "unknown"),
        rule(5, "posix", "unsafe", guaranteed=False, reason="left open"),
        rule(6, "posix", guaranteed=False, reason="open"),
        rule(7, "flock"),
    ]  # fmt: skip
    found = list(outcomes(check_of(guarantee("posix"), rules=rules)).items())[1:]
    assert [name.partition(":")[0] for name, _ in found] == [f"rule {number}" for number in range(1, 7)]
    assert [how for _, how in found] == ["passed", "failure", "skipped", "error", "skipped", "passed"]


def test_a_failed_rule_is_told_with_its_calls() -> None:
    broken = rule(2, "posix", "unsafe")
    message, text = told(check_of(guarantee("posix"), rules=[broken]), f"rule 2: {broken.sentence}")
    assert message == "expected EAGAIN, observed granted"
    assert text.splitlines() == ["source: fcntl(2)", *broken.calls]


def test_what_is_not_guaranteed_is_skipped_with_the_reason() -> None:
    differs = rule(47, "posix", "unsafe", guaranteed=False, reason="POSIX leaves it open")
    message, _ = told(check_of(guarantee("posix"), rules=[differs]), f"rule 47: {differs.sentence}")
    assert message == "not guaranteed: POSIX leaves it open; expected EAGAIN, observed granted"


def test_random_programs_are_one_case_or_one_for_each_difference() -> None:
    assert outcomes(check_of(guarantee("posix"), random=programs()))["2,000 random programs"] == "passed"
    differing = check_of(guarantee("posix"), random=programs(difference("posix"), difference("ranges")))
    assert list(outcomes(differing).items())[1:] == [("random program 1", "failure")]
    assert len(outcomes(check_of(guarantee("mapping"), random=programs()), "mapping")) == 1


def test_every_race_is_a_case() -> None:
    rows = [race("posix"), race("posix", raced=case(overlaps=1), polled=True), race("mapping", "mapped")]
    assert list(outcomes(check_of(guarantee("posix"), stress=rows)).items())[1:] == [
        ("stress: counter, stream, fcntl", "passed"),
        ("stress: counter, stream, fcntl, polled", "failure"),
    ]


def test_the_counts_are_those_of_the_cases() -> None:
    rules = [rule(1, "posix"), rule(2, "posix", "unsafe"), rule(3, "posix", "unsupported"), rule(4, "posix", "unknown")]
    run = check_of(guarantee("posix", "unsafe"), guarantee("mapping"), rules=rules)
    counts: Any = {"tests": "5", "failures": "2", "errors": "1", "skipped": "1"}
    assert suites(run)["posix"].attrib.items() >= counts.items()
    whole = Xml.fromstring(junit(run))  # noqa: S314 - ours
    assert whole.attrib.items() >= {**counts, "tests": "6"}.items()


def test_what_xml_cannot_write_is_escaped_and_still_seen() -> None:
    odd = rule(2, "posix", "unsafe", observed="a\x00b\x1b[31m\ud800 <&> \u00e9", calls=["A: \x07"])
    message, text = told(check_of(guarantee("posix"), rules=[odd]), f"rule 2: {odd.sentence}")
    assert message == "expected EAGAIN, observed a\\x00b\\x1b[31m\\ud800 <&> \u00e9"
    assert text.splitlines()[1] == "A: \\x07"


def test_the_document_of_another_command_is_refused() -> None:
    with pytest.raises(TypeError, match="Exploration is neither a check nor a race"):
        junit(exploration_of())


RACE = run_of(
    UNLOCKED, CLEAN, DAMAGED, DIED, REFUSED, TOO_WEAK, NOT_TRIED, SHUT_OUT, replace(DAMAGED, scenario="bank\x01")
)


def test_each_row_of_a_race_is_a_case_of_its_scenario() -> None:
    root = Xml.fromstring(junit(RACE))  # noqa: S314 - ours
    assert {name: root.attrib[name] for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "9", "failures": "3", "errors": "1", "skipped": "3",
    }  # fmt: skip
    assert [suite.attrib["name"] for suite in root] == ["counter", "bank\\x01"]
    cases = root[0].findall("testcase")
    ends = [next((end for end in ("failure", "skipped", "error") if case.find(end) is not None), "") for case in cases]
    assert ends == ["", "", "failure", "failure", "skipped", "error", "skipped", "skipped"]
    assert [case.attrib["name"] for case in cases[:2]] == ["lock none, 2 workers", "lock fcntl, 2 workers"]
    assert cases[-1].attrib["name"] == "lock mine:lock, 2 workers, holder killed"
    assert {case.attrib["classname"] for case in cases} == {"race.counter"}


def test_a_failed_row_has_the_evidence_the_line_to_repeat_it_and_its_figures() -> None:
    root = Xml.fromstring(junit(run_of(DAMAGED)))  # noqa: S314 - ours
    (failure,) = root.iter("failure")
    assert failure.attrib["message"] == "damaged: the lock held and the data broke anyway"
    assert [line.partition(" ")[0] for line in (failure.text or "").splitlines()] == ["counter", "", "again:"]
    properties = {each.attrib["name"]: each.attrib["value"] for each in root.iter("property")}
    assert (properties["corruption_rate"], properties["detection_limit"], properties["seed"]) == (
        "0.003",
        "0.0295",
        "7",
    )
    assert "slowdown" not in properties


def test_a_fault_that_was_asked_for_and_shuts_others_out_is_a_failure() -> None:
    asked = Xml.fromstring(junit(replace(RACE, options=replace(RACE.options, faults="short"))))  # noqa: S314 - ours
    assert asked.attrib["failures"] == "4"
