"""Show a document in a notebook: as HTML that fits a light and a dark page, and as the text of a table for pandas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from operator import attrgetter

from lab.records import Case, Check, Document, Exploration, Holds, Recording, Replay, Run
from lab.report.documents import report_of
from lab.report.format import DATA_FORMATS, Column, Style, Table, duration, grid

from .text.explore import explanation, failure
from .text.schedule import columns

STYLE = (
    "<style>.lab-report table{border-collapse:collapse}.lab-report td,.lab-report th{padding:.1em .6em;"
    "border-bottom:1px solid #8888}.lab-report pre{overflow-x:auto;background:none;color:inherit}"
    ".lab-report svg text{fill:currentColor}</style>"
)
"""It takes all colours from the page but those of the timeline, which are legible on light and on dark."""

GUARANTEES = ("guarantee", "verdict", "strength", "evidence")
PLAIN_DATA = Style(next(iter(DATA_FORMATS)))


def data_of(document: Document) -> str:
    """Return the table of the document as comma-separated values: a row for each case, plain numbers in plain cells."""
    if isinstance(document, Check):
        return _table(document.guarantees, "name", "verdict", "strength", "detection_limit")
    if isinstance(document, Replay):
        shape, outcome = ("scenario", "lock", "workers", "rounds"), ("times", "reproduced", "divergence", "headline")
        return _table([document], *shape, *outcome)
    return report_of(document).text(document, PLAIN_DATA).partition("\n\n")[0]


def _table(rows: Sequence[object], *names: str) -> str:
    made: list[Column[object]] = [Column("", data={name: attrgetter(name)}) for name in names]
    return Table(made, rows).render(PLAIN_DATA)


def html_of(document: Document) -> str:
    """Return the document as HTML: its table, what explains it, and the report of the command to unfold.

    Nothing is loaded from elsewhere and nothing runs; all texts are escaped.
    """
    report = report_of(document)
    whole = f"<details><summary>report</summary>{_pre(report.text(document))}</details>"
    return f'{STYLE}<div class="lab-report">{"".join(_parts(document))}{whole}</div>'


def _parts(document: Document) -> Iterator[str]:
    if isinstance(document, Check):
        rows = [[each.title, each.verdict, each.strength, "; ".join(each.evidence)] for each in document.guarantees]
        yield f"<p><b>{'safe' if document.safe else 'NOT SAFE'}</b></p>"
        yield grid(GUARANTEES, rows, ["left"] * 4, "html")
        yield "".join(f"<p>{escape(advice)}</p>" for advice in document.advice)
    elif isinstance(document, Replay):
        yield f"<p><b>reproduced {document.reproduced} of {document.times}</b>: {escape(document.headline)}</p>"
        yield _pre(columns(document.steps))
    else:
        yield report_of(document).text(document, Style("html"))
    if isinstance(document, Run):
        yield from (_pre(explanation(case.explanation)) for case in document.cases if case.explanation)
        yield from (_timeline(case, case.recording) for case in document.cases if case.recording)
    if isinstance(document, Exploration):
        yield from (_pre(failure(case)) for case in document.cases if case.steps)


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


WIDTH, LANE, LEFT = 640, 18, 70
"""The size of the timeline, in pixels: its width, the height of a worker's lane, and the place of the first event."""

WAITING, HOLDING = "#d08000", "#2080d0"
MOST_HOLDS = 400
"""The most requests that are drawn: more are no picture."""


def _timeline(case: Case, recording: Recording) -> str:
    """Return a picture of the requests of a recorded trial: who waited for the lock, and who held it, and when."""
    requests = [each for each in recording.holds.requests() if each.was_granted][:MOST_HOLDS]
    if not requests:
        return ""
    begin = min(each.requested_ns for each in requests)
    end = max(max(each.granted_ns, each.released_ns) for each in requests)
    scale = (WIDTH - LEFT) / max(1, end - begin)

    def bar(worker: int, start: int, until: int, colour: str, height: int) -> str:
        return (
            f'<rect x="{LEFT + (start - begin) * scale:.1f}" y="{worker * LANE + (LANE - height) / 2:.1f}" '
            f'width="{max(0.5, (until - start) * scale):.1f}" height="{height}" fill="{colour}"/>'
        )

    lanes = max(each.worker for each in requests) + 1
    parts = [bar(each.worker, each.requested_ns, each.granted_ns, WAITING, 4) for each in requests]
    parts += [
        bar(each.worker, each.granted_ns, each.released_ns if each.was_released else end, HOLDING, 12)
        for each in requests
    ]
    parts += [f'<text x="0" y="{lane * LANE + 13}" font-size="12">worker {lane}</text>' for lane in range(lanes)]
    what = f"{case.scenario} under {case.lock}: {_left_out(recording.holds, requests)} in {duration(end - begin)}"
    return (
        f"<p>{escape(what)}; thin: waiting, thick: holding</p>"
        f'<svg role="img" width="{WIDTH}" height="{lanes * LANE}">{"".join(parts)}</svg>'
    )


def _left_out(holds: Holds, drawn: Sequence[object]) -> str:
    every = len(holds.worker)
    return f"{len(drawn):,} requests" if len(drawn) == every else f"{len(drawn):,} of {every:,} requests"
