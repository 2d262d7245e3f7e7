"""Write a check as JUnit XML, for programs that show test results.

Each guarantee is a suite; each rule, race and kind of program is a case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as Xml

from lab.records import Check, CheckVerdict, Document, Guarantee, RuleResult, StressResult

from .format import plural

NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""This matches the characters that XML 1.0 cannot write (section 2.2)."""

Outcome = Literal["", "failure", "skipped", "error"]
OUTCOMES: dict[CheckVerdict, Outcome] = {"safe": "", "unsafe": "failure", "unsupported": "skipped", "unknown": "error"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One case: its name, its result, a line about it, and more details."""

    name: str
    outcome: Outcome
    message: str = ""
    text: str = ""


def junit(document: Document) -> bytes:
    """Return the XML of a check. Raise TypeError for the document of another command."""
    if not isinstance(document, Check):
        raise TypeError(f"{type(document).__name__} is no check")
    root = Xml.Element("testsuites", name="lab check", time=f"{document.wall_s:.3f}")
    suites = [(guarantee, list(_cases(guarantee, document))) for guarantee in document.guarantees]
    _count(root, [case for _, cases in suites for case in cases])
    for guarantee, cases in suites:
        suite = Xml.SubElement(root, "testsuite", name=guarantee.name)
        _count(suite, cases)
        for case in cases:
            _write(suite, guarantee.name, case)
    Xml.indent(root)
    made: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"


def _cases(guarantee: Guarantee, run: Check) -> Iterator[Entry]:
    """Yield the verdict itself, then all evidence behind it."""
    text = "\n".join([guarantee.strength, *guarantee.evidence]).strip()
    yield Entry(guarantee.title, OUTCOMES[guarantee.verdict], f"{guarantee.name}: {guarantee.verdict}", text)
    yield from (_of_rule(rule) for rule in run.rules if rule.guarantee == guarantee.name)
    yield from _of_programs(guarantee.name, run)
    yield from (_of_race(row) for row in run.stress if row.guarantee == guarantee.name)


def _of_rule(rule: RuleResult) -> Entry:
    name = f"rule {rule.number}: {rule.sentence}"
    if rule.verdict == "safe":
        return Entry(name, "")
    message = f"expected {rule.expected}, observed {rule.observed}" if rule.expected else rule.observed
    text = "\n".join([f"source: {rule.source}", *rule.calls])
    if not rule.guaranteed:
        return Entry(name, "skipped", f"not guaranteed: {rule.reason}; {message}", text)
    return Entry(name, OUTCOMES[rule.verdict], message, text)


def _of_programs(name: str, run: Check) -> Iterator[Entry]:
    """Yield one case for each difference; without differences one for all programs, in the suites that they judge."""
    from lab.checking.guarantees import RANDOM

    if run.random is None or not run.random.programs or name not in RANDOM:
        return
    differences = [each for each in run.random.differences if each.guarantee == name]
    for number, each in enumerate(differences, 1):
        message = f"expected {each.expected}, observed {each.observed}"
        yield Entry(f"random program {number}", "failure", message, "\n".join(each.calls))
    if not differences:
        yield Entry(plural(run.random.programs, "random program"), "")


def _of_race(row: StressResult) -> Entry:
    case = row.case
    name = f"stress: {case.scenario}, {row.backing}, {case.lock}{', polled' if row.polled else ''}"
    evidence = [text for each in case.damage for text in each.evidence]
    message = case.reason or ("" if row.verdict == "safe" else f"{case.operations:,} rounds")
    return Entry(name, OUTCOMES[row.verdict], message, "\n".join([*case.overlaps, *evidence]))


def _count(element: Xml.Element, cases: list[Entry]) -> None:
    element.set("tests", str(len(cases)))
    for attribute, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.outcome == outcome for case in cases)))


def _write(suite: Xml.Element, guarantee: str, case: Entry) -> None:
    written = Xml.SubElement(suite, "testcase", classname=f"check.{guarantee}", name=_legal(case.name), time="0")
    if case.outcome:
        Xml.SubElement(written, case.outcome, message=_legal(case.message)).text = _legal(case.text)
    elif case.text:
        Xml.SubElement(written, "system-out").text = _legal(case.text)


def _legal(text: str) -> str:
    """Replace each character that XML cannot write by its Python escape, so that it stays visible."""
    return NOT_XML.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
