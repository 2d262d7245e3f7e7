"""What was watched as SARIF, as a page and as a trace: their forms, and that all of the faults is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lab.records import (
    Holds,
    Outcome,
    Replayed,
    ReplayedOrder,
    Request,
    Watch,
    WatchedCall,
    WatchedProcess,
    WatchFinding,
    WatchOptions,
    WatchStep,
    WatchTimeline,
    encode,
    load_any,
)
from lab.report.page.watch import watch_page
from lab.report.sarif import sarif
from lab.report.text.watch import CAUSES, exit_code, full_text_of, text_of
from lab.report.trace import render
from tests.helpers import run_lab

from .records import CLEAN, header, run_of
from .trace_form import of_kind, problems

HOSTILE = "</script><b>&\"'%2e.db"


def call(process: int, what: str, line: int, source: str = "src/bank.c") -> WatchedCall:
    place = f"bank.c:{line} main"
    return WatchedCall(process, process, what, place, [place, "libc.so+0x1"], line / 10, source, line if source else 0)


def step(process: int, what: str, line: int, own: bool, kind: str = "write") -> WatchStep:
    return WatchStep(process, process, what, f"bank.c:{line} main", line / 10, own, kind, 0, 8)


def finding(cause: str, file: str = "data.bin", note: bool = False) -> WatchFinding:
    return WatchFinding(
        cause,
        note,
        file,
        3,
        [call(41, "fcntl, exclusive, bytes 0 to 7", 3), call(42, "writes bytes 0 to 7", 9)],
        [
            step(41, "fcntl, exclusive, bytes 0 to 7", 3, True, "posix"),
            step(41, "closes descriptor 4", 5, False, "close"),
            step(42, "writes bytes 0 to 7", 9, True),
        ],
        ["2 ends the lock of 1", "3 happens under no lock"],
        1000,
        "accesses 0-7 data.bin" if cause == "no lock" else "",
    )


def watched(*findings: WatchFinding, holds: int = 3, strict: bool = False) -> Watch:
    timeline = WatchTimeline([WatchedProcess(41, "bank a"), WatchedProcess(42, "bank b")], ["data.bin"], left_out=5)
    for number in range(holds):
        timeline.holds.add(Request(number % 2, 100 * number, 100 * number + 10, 100 * number + 90, 0, 8, 1))
        timeline.thread.append(41 + number % 2)
        timeline.file.append(0)
        timeline.lock.append("fcntl")
    return Watch(
        **header(),
        options=WatchOptions(["./bank", "data.bin"], 2, [], [], [], 60.0, "", strict=strict),
        outcomes=[Outcome(0, 0, 0, hung=False)],
        programs=["bank"],
        processes=2,
        events=30,
        accesses=8,
        suppressed=0,
        files=1,
        findings=list(findings),
        locked=[],
        not_seen=["loads and stores through mappings of a.db"],
        timeline=timeline,
    )


FAULTS = watched(*(finding(cause) for cause in CAUSES if cause != "converted"), finding("converted", note=True))


def wrong_with(log: Any) -> Iterator[str]:
    """What a reader of SARIF 2.1.0 would refuse; the numbers are those of the standard's sections."""
    if log.get("version") != "2.1.0" or not log.get("$schema", "").endswith("sarif-2.1.0.json"):
        yield "3.13.2: version and schema"
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        if not driver["name"] or not re.fullmatch(r"\d+\.\d+\.\d+", driver["semanticVersion"]):
            yield "3.19.8: name and semantic version"
        if len({rule["id"] for rule in driver["rules"]}) != len(driver["rules"]):
            yield "3.19.23: two rules with one id"
        for rule in driver["rules"]:
            if not all(rule[each]["text"].strip() for each in ("shortDescription", "fullDescription", "help")):
                yield f"3.49: {rule['id']} says nothing"
        for result in run["results"]:
            yield from wrong_with_result(result, driver["rules"])
            for location in locations_of(result):
                yield from wrong_with_place(location["physicalLocation"], run["originalUriBaseIds"])


def wrong_with_result(result: Any, rules: Any) -> Iterator[str]:
    if rules[result["ruleIndex"]]["id"] != result["ruleId"]:
        yield "3.27.6: the index is of another rule"
    if result["level"] not in ("none", "note", "warning", "error") or not result["message"]["text"]:
        yield "3.27.10: level or message"
    if not result["partialFingerprints"] or result["occurrenceCount"] < 1:
        yield "3.27.17: no fingerprint"
    ids = [each["id"] for each in result.get("relatedLocations", [])]
    if len(set(ids)) != len(ids):
        yield "3.28.2: ids"


def locations_of(result: Any) -> Iterator[Any]:
    yield from result.get("locations", [])
    yield from result.get("relatedLocations", [])
    for flow in result.get("codeFlows", []):
        for thread in flow["threadFlows"]:
            yield from (each["location"] for each in thread["locations"])


def wrong_with_place(place: Any, bases: Any) -> Iterator[str]:
    uri = place["artifactLocation"]["uri"]
    if uri.startswith("/") or ".." in uri or re.search(r"[^\w./%~-]", uri):
        yield f"3.4.3: {uri} is no relative reference"
    if place["artifactLocation"]["uriBaseId"] not in bases:
        yield "3.4.4: no such base"
    if place["region"]["startLine"] < 1:
        yield "3.30.5: lines begin at 1"


def test_sarif_has_all_findings_in_a_form_that_code_hosts_read() -> None:
    log = json.loads(sarif(FAULTS))
    assert list(wrong_with(log)) == []
    (run,) = log["runs"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {
        f"lock/{each.replace(' ', '-')}" for each in CAUSES
    }
    assert [each["level"] for each in run["results"]].count("note") == 1
    for result in run["results"]:
        assert [each["physicalLocation"]["region"]["startLine"] for each in result["locations"]] == [9]
        assert [each["physicalLocation"]["region"]["startLine"] for each in result["relatedLocations"]] == [3]


def test_a_fingerprint_stays_where_lines_and_processes_change() -> None:
    one = finding("no lock")
    moved = replace(one, count=9, calls=[
        replace(each, process=7, line=each.line + 5, place=each.place.replace(":", ":1")) for each in one.calls
    ])  # fmt: skip
    other = replace(one, calls=[replace(each, place=each.place.replace("main", "add")) for each in one.calls])
    prints = [
        json.loads(sarif(watched(each)))["runs"][0]["results"][0]["partialFingerprints"] for each in (one, moved, other)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_lines_outside_of_the_project_are_no_locations() -> None:
    outside = replace(finding("no lock"), calls=[call(41, "reads", 3, ""), call(42, "writes", 9, "")])
    log = json.loads(sarif(watched(outside)))
    assert list(wrong_with(log)) == []
    assert "locations" not in log["runs"][0]["results"][0]


class Elements(HTMLParser):
    """The elements of a page in order, and the text of its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_has_each_fault_and_nothing_that_a_name_could_add() -> None:
    page = watch_page(watched(finding("no lock"), finding("dropped by a close", HOSTILE))).decode()
    plain = watch_page(watched(finding("no lock"), finding("dropped by a close"))).decode()
    elements, without = Elements(), Elements()
    elements.feed(page)
    without.feed(plain)
    assert elements.seen == without.seen
    text = " ".join(" ".join(elements.texts).split())
    for cause in ("no lock", "dropped by a close"):
        assert CAUSES[cause].because in text
    assert "2 ends the lock of 1" in text
    assert "Locking is WRONG: 2 faults" in text
    assert "accesses 0-7 data.bin" in text
    assert "not seen: loads and stores through mappings" in text


def test_the_document_makes_the_same_report_and_page_again(tmp_path: Path) -> None:
    run = watched(finding("no lock"), finding("converted", note=True))
    (tmp_path / "watch.json").write_bytes(encode(run))
    assert load_any(tmp_path / "watch.json") == run
    assert run_lab("report", "watch.json", cwd=tmp_path).stdout == f"{text_of(run)}\n"
    assert run_lab("page", "watch.json", "-o", "-", cwd=tmp_path).stdout.encode() == watch_page(run)
    damaged = replace(run, timeline=replace(run.timeline, thread=[1]))
    (tmp_path / "damaged.json").write_bytes(encode(damaged))
    refused = run_lab("page", "damaged.json", cwd=tmp_path)
    assert (refused.returncode, "timeline has columns of different lengths" in refused.stderr) == (2, True), (
        refused.stderr
    )


def test_a_trace_has_the_threads_the_holds_and_the_faults() -> None:
    trace = json.loads(render(watched(finding("no lock"))))
    assert problems(trace) == []
    names = [event["args"]["name"] for event in of_kind(trace, "M") if event["name"].endswith("_name")]
    assert names == ["bank a 41", "bank b 42", "thread 41", "thread 42"]
    assert [event["name"] for event in of_kind(trace, "X")] == ["waiting", "holding"] * 3
    assert [event["cat"] for event in of_kind(trace, "i")] == ["wrong", "call", "wrong"]


@pytest.mark.parametrize("render_it", [sarif, watch_page])
def test_another_document_is_refused(render_it: Any) -> None:
    with pytest.raises(TypeError, match="nothing was watched"):
        render_it(run_of(CLEAN))


def test_what_became_of_a_replayed_fault_stands_at_that_fault_alone() -> None:
    orders = (
        ReplayedOrder("bank.c:3 main", "bank.c:9 main", damage=[]),
        ReplayedOrder("bank.c:9 main", "", damage=["a"]),
    )
    run = replace(watched(finding("no lock"), finding("two let in", "b.bin")), replayed=Replayed(2, *orders))
    told = [
        "as it was seen, first bank.c:3 main: the file is right",
        "in the other order, first bank.c:9 main: DAMAGE: a",
    ]
    results = json.loads(sarif(run))["runs"][0]["results"]
    first, second = [sum(each in result["message"]["text"] for each in told) for result in results]
    sections = watch_page(run).decode().split("<section ")
    assert [first, second] == [0, 2]
    assert [sum(each in part for each in told) for part in sections if "finding-" in part] == [0, 2]
    assert "replayed" not in watch_page(replace(run, replayed=None)).decode()


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_strict_makes_faults_of_notes(strict: bool, code: int) -> None:
    run = watched(finding("converted", note=True), strict=strict)
    assert exit_code(run) == code
    assert ("WRONG" in text_of(run)) == strict


def test_the_text_has_both_sides_side_by_side_within_80_columns() -> None:
    text = text_of(watched(finding("no lock")))
    assert [line for line in text.splitlines() if len(line) > 80] == []
    (heads,) = (line for line in text.splitlines() if "process 41" in line)
    assert "process 42" in heads
    assert re.search(r"^ +1  > fcntl, exclusive", text, re.MULTILINE)
    assert "--suppress 'accesses 0-7 data.bin'" in text
    assert "libc.so+0x1" in full_text_of(watched(finding("no lock")))
    assert "libc.so+0x1" not in text


def test_without_requests_there_is_a_page_and_a_trace() -> None:
    empty = replace(watched(), timeline=WatchTimeline(holds=Holds()))
    assert b"No fault was found" in watch_page(empty)
    assert json.loads(render(empty))["traceEvents"] == []
