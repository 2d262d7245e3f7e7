"""Write a check, a race or what was watched as JUnit XML, for programs that show test results.

Of a check each guarantee is a suite; each rule, race and kind of program is a case. Of a race each scenario is a suite;
each row of the table is a case. Of a watched program each file is a suite; each cause that was found is a case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.etree import ElementTree as Xml

from lab.records import Case, Check, CheckVerdict, Document, Guarantee, RuleResult, Run, StressResult, Watch, groups_of

from .format import plural
from .text.failures import is_only_reported, lock_of
from .text.race_again import race_line
from .text.race_verdict import complaint, slowdowns
from .text.watch import CAUSES

NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""This matches the characters that XML 1.0 cannot write (section 2.2)."""

Outcome = Literal["", "failure", "skipped", "error"]
OUTCOMES: dict[CheckVerdict, Outcome] = {"safe": "", "unsafe": "failure", "unsupported": "skipped", "unknown": "error"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One case: its name, its result, a line about it, more details, its time in seconds, and named figures."""

    name: str
    outcome: Outcome
    message: str = ""
    text: str = ""
    time_s: float = 0.0
    properties: Mapping[str, object] = field(default_factory=dict)


def junit(document: Document) -> bytes:
    """Return the XML of a check, a race or what was watched. Raise TypeError for the document of another command."""
    if isinstance(document, Check):
        suites = {guarantee.name: list(_cases(guarantee, document)) for guarantee in document.guarantees}
    elif isinstance(document, Run):
        names = dict.fromkeys(case.scenario for case in document.cases)
        suites = {name: list(_rows(name, document)) for name in names}
    elif isinstance(document, Watch):
        names = dict.fromkeys([*(each.file for each in document.locked), *(each.file for each in document.findings)])
        suites = {name: list(_causes(name, document)) for name in names}
    else:
        raise TypeError(f"{type(document).__name__} is neither a check nor a race, and nothing was watched")
    command, where = document.command, document.environment
    root = Xml.Element("testsuites", name=f"lab {command}", time=f"{document.wall_s:.3f}")
    _count(root, [case for cases in suites.values() for case in cases])
    for name, cases in suites.items():
        suite = Xml.SubElement(root, "testsuite", name=_legal(name))
        _count(suite, cases)
        if isinstance(document, Run):
            seed = {"seed": document.options.seed}
            _write_properties(suite, {"filesystem": where.filesystems, "kernel": where.kernel, **seed})
        for case in cases:
            _write(suite, f"{command}.{name}", case)
    Xml.indent(root)
    made: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"


def _rows(scenario: str, run: Run) -> Iterator[Entry]:
    """Yield the cases of one scenario of a race."""
    slowdown = slowdowns(run)
    for case in run.cases:
        if case.scenario == scenario:
            yield _row(case, run, slowdown(case))


def _row(case: Case, run: Run, slowdown: float | None) -> Entry:
    several = f", backing {case.backing}" * (len({each.backing for each in run.cases}) > 1)
    fault = f", {case.fault}" * bool(case.fault)
    name = f"lock {lock_of(case)}{several}, {plural(case.workers, 'worker')}{fault}"
    figures = {
        "verdict": case.verdict,
        "operations": case.operations,
        "corruption_rate": case.corruption_rate,
        "overlapping_holds": case.overlapping_holds,
        "detection_limit": case.detection_limit,
        "slowdown": slowdown,
    }
    outcome = _outcome(case, run)
    again = f"again: {race_line(case, run.options)}"
    text = "\n".join([*complaint(case, run.options.leak), again]) if outcome in ("failure", "error") else ""
    message = f"{case.verdict}: {case.reason}" if outcome else ""
    return Entry(name, outcome, message, text, case.wall_s, {k: v for k, v in figures.items() if v is not None})


def _outcome(case: Case, run: Run) -> Outcome:
    """Return the result of a row: a failure only where it is one of the command, too."""
    if case.as_expected:
        return ""
    if case.verdict == "unsupported" or is_only_reported(case, run):
        return "skipped"
    return "error" if case.verdict == "inconclusive" else "failure"


def _causes(file: str, run: Watch) -> Iterator[Entry]:
    """Yield a failure for each cause of a file, and one case that passed where there is none."""
    groups = [group for group in groups_of(run.faults) if group[0].file == file]
    for group in groups:
        lines = [f"{call.place}: {call.call}" for each in group for call in each.calls]
        explained = CAUSES[group[0].cause]
        message = f"{explained.title}: {lines[0]}"
        yield Entry(group[0].cause, "failure", message, "\n".join([*dict.fromkeys(lines), explained.because]))
    if not groups:
        yield Entry("no fault was found", "")


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


def _write(suite: Xml.Element, group: str, case: Entry) -> None:
    name, time = _legal(case.name), f"{case.time_s:.3f}" if case.time_s else "0"
    written = Xml.SubElement(suite, "testcase", classname=_legal(group), name=name, time=time)
    if case.properties:
        _write_properties(written, case.properties)
    if case.outcome:
        Xml.SubElement(written, case.outcome, message=_legal(case.message)).text = _legal(case.text)
    elif case.text:
        Xml.SubElement(written, "system-out").text = _legal(case.text)


def _write_properties(element: Xml.Element, properties: Mapping[str, object]) -> None:
    parent = Xml.SubElement(element, "properties")
    for name, value in properties.items():
        Xml.SubElement(parent, "property", name=name, value=_legal(str(value)))


def _legal(text: str) -> str:
    """Replace each character that XML cannot write by its Python escape, so that it stays visible."""
    return NOT_XML.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
