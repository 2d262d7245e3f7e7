"""Build the page of what was watched: the verdict, each finding with its steps, and a timeline of the locks.

The text is in the page as it is, so it can be read without JavaScript; the timelines are those of a recorded race.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from string import Template
from typing import Any

from lab.analysis.watched import END
from lab.records import Document, Watch, WatchFinding, WatchStep, groups_of
from lab.report.format import Style, duration, plural
from lab.report.text.watch import CAUSES, limits, locks_table, replays_of, seen, verdict

from .build import UNSAFE, lengths, steps, template_text, without_paths

SHARED = ("page.js", "run_record.js", "run_timeline.js")
"""The scripts that the page of a race has too."""

MOST_LANES, MOST_DRAWN = 64, 12
"""So many processes have a lane, and so many findings a timeline of their own."""


def watch_page(document: Document) -> bytes:
    """Return the page. Raise TypeError for the document of another command."""
    import msgspec

    if not isinstance(document, Watch):
        raise TypeError(f"{type(document).__name__}: nothing was watched")
    groups = groups_of(document.findings)
    data = msgspec.json.encode(without_paths(_timeline(document, groups))).decode().translate(UNSAFE)
    page = Template(template_text("watch/watch.html")).substitute(
        title=escape(_sentence(verdict(document))),
        style="\n".join([template_text("style.css"), template_text("watch/watch.css")]),
        lede="\n".join(f'<p class="lede">{escape(_unfolded(line))}</p>' for line in _lede(document)),
        body="\n".join(_sections(groups, document)),
        end=f'<section aria-label="Limits">\n<h2>What was not seen</h2>\n{_list(limits(document))}\n</section>',
        made=escape(f"Made by the lab {document.environment.lab} on {document.started[:10]}. It loads nothing."),
        data=f'<script type="application/json" id="data-timeline">{data}</script>',
        script="\n".join(map(template_text, (*SHARED, "watch/watch.js"))),
    )
    return page.encode("utf-8", "replace")


def _unfolded(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    return text[:1].upper() + _unfolded(text)[1:]


def _lede(run: Watch) -> Iterator[str]:
    if run.options.command:
        yield " ".join(word.rpartition("/")[2] if word.startswith("/") else word for word in run.options.command)
    yield seen(run)


def _sections(groups: Sequence[Sequence[WatchFinding]], run: Watch) -> Iterator[str]:
    number = 0
    colours = {pid: place % 8 for pid, place in _places(run).items()}
    for place, group in enumerate(groups):
        number += not group[0].note
        again = [] if group[0].note else list(replays_of(run.replayed, number))
        yield _section(group, f"{number}" if not group[0].note else "note", place, colours, again)
    if run.locked:
        yield _locks(run)


def _places(run: Watch) -> dict[int, int]:
    """Return the first process of each number, by its place in the timeline; its colour is that of its lane."""
    return {each.pid: place for place, each in reversed(list(enumerate(run.timeline.processes)))}


def _section(
    group: Sequence[WatchFinding], mark: str, place: int, colours: dict[int, int], replayed: Sequence[str]
) -> str:
    first, cause = group[0], CAUSES[group[0].cause]
    count = plural(sum(each.count for each in group), "time")
    title = f"{cause.title}: {first.file.rsplit('/', 1)[-1]}, {count}"
    others = dict.fromkeys(" and ".join(dict.fromkeys(call.place or "?" for call in each.calls)) for each in group[1:])
    why = {
        "because": [cause.because],
        "so": first.reasons,
        "cure": [cause.cure] if cause.cure else [],
        "also at": list(others),
        "replayed": replayed,
        "if it is meant": [f"--suppress '{first.suppress}'"] if first.suppress else [],
    }
    terms = "".join(
        f"<dt>{escape(name)}</dt><dd>{'<br>'.join(map(escape, lines))}</dd>" for name, lines in why.items() if lines
    )
    tag = "number note-tag" if first.note else "number"
    drawn = f'<div data-finding="{place}"></div>' if place < MOST_DRAWN else ""
    return (
        f'<section tabindex="-1" aria-labelledby="finding-{place}">\n'
        f'<h2 id="finding-{place}"><span class="{tag}">{mark}</span> {escape(_sentence(title))}</h2>\n'
        f'{_steps(first, colours)}\n<dl class="why">{terms}</dl>\n{_stacks(first)}\n{drawn}\n</section>'
    )


def _steps(found: WatchFinding, colours: dict[int, int]) -> str:
    """Return the steps as a table, a column for each process."""
    processes = list(dict.fromkeys(step.process for step in found.steps))
    heads = "".join(f'<th scope="col" class="worker-{colours.get(pid, 0)}">process {pid}</th>' for pid in processes)
    rows = "".join(
        f'<tr{" class=marked" * step.own}><th scope="row" class="figure">{number}</th>'
        + "".join(f"<td>{_cell(step) if pid == step.process else ''}</td>" for pid in processes)
        + "</tr>"
        for number, step in enumerate(found.steps, 1)
    )
    return (
        '<div class="scroll steps" tabindex="0" role="region" aria-label="Step by step"><table><thead><tr>'
        f'<th scope="col">step</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _cell(step: WatchStep) -> str:
    where = " ".join([step.place, f"+{duration(step.after_us * 1000)}"]).strip()
    return f'{escape(step.call)}<span class="where">{escape(where)}</span>'


def _stacks(found: WatchFinding) -> str:
    stacks = "".join(
        f'<p class="hint">process {call.process}, thread {call.thread}: {escape(call.call)}</p>'
        f'<div class="stack">{"<br>".join(map(escape, call.stack))}</div>'
        for call in found.calls
        if call.stack
    )
    return f"<details><summary>Stacks</summary>{stacks}</details>" if stacks else ""


def _locks(run: Watch) -> str:
    table = locks_table(run.locked)
    columns = table.shown(Style(wide=True))
    head = "".join(f'<th scope="col">{escape(column.title)}</th>' for column in columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(column.text(row))}</th>' if column.key else f"<td>{escape(column.text(row))}</td>"
            for column in columns
        )
        + "</tr>"
        for row in table.rows
    )
    return (
        '<section aria-labelledby="locks-title">\n<h2 id="locks-title">How files were locked</h2>\n'
        '<div class="scroll locks" tabindex="0" role="region" aria-label="Files and locks">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>\n</section>"
    )


def _list(lines: Iterator[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(_unfolded(line))}</li>' for line in lines)}</ul>"


def _timeline(run: Watch, groups: Sequence[Sequence[WatchFinding]]) -> dict[str, Any]:
    """Return the part of a recorded race that the script of a timeline reads: a lane is a process.

    The values of accesses are not known: the place in the program stands instead of them.
    """
    timeline, holds = run.timeline, run.timeline.holds
    by_pid = _places(run)
    accesses = sorted(
        (found.at_ns + round(step.after_us * 1000), by_pid[step.process], step)
        for group in groups
        for found in group[:1]
        for step in _accesses(found)
        if step.process in by_pid
    ) if groups else []  # fmt: skip
    numbers = {id(step): number for number, (_, _, step) in enumerate(accesses)}
    lanes = list(dict.fromkeys([*(place for _, place, _ in accesses), *holds.worker]))[:MOST_LANES]
    cut = {
        "requests for locks": timeline.left_out,
        "processes": len({*holds.worker}) - len(lanes),
    }
    return {
        "words": True, "order": "little", "rounds": 0, "done": [], "attempts": 1, "wall": 0, "size": END, "fields": [],
        "blocks": [], "marked": {"kinds": [], "kind": [], "at": [], "start": [], "end": []},
        "lanes": [[place, f"process {timeline.processes[place].pid}"] for place in sorted(lanes)],
        "cut": [f"{count:,} {what}" for what, count in cut.items() if count > 0],
        "holds": {
            "worker": holds.worker,
            "requested": steps(holds.requested_ns),
            "waited": lengths(holds.requested_ns, holds.granted_ns),
            "held": lengths(holds.granted_ns, holds.released_ns),
            "start": holds.start,
            "length": [0 if start + length >= END else length
                       for start, length in zip(holds.start, holds.length, strict=True)],
            "write": holds.write,
        },
        "accesses": {
            "worker": [place for _, place, _ in accesses],
            "round": [None] * len(accesses),
            "kind": [int(step.kind not in ("read", "load")) for _, _, step in accesses],
            "begun": steps([at for at, _, _ in accesses]),
            "took": [0] * len(accesses),
            "start": [step.start for _, _, step in accesses],
            "length": [step.length for _, _, step in accesses],
            "bytes": [step.place for _, _, step in accesses],
        },
        "problems": [_problem(group[0], by_pid, numbers) for group in groups],
        "first": 0 if groups else None,
    }  # fmt: skip


def _accesses(found: WatchFinding) -> list[WatchStep]:
    return [step for step in found.steps if step.kind in ("read", "write", "load", "store", "atomic")]


def _problem(found: WatchFinding, by_pid: dict[int, int], numbers: dict[int, int]) -> list[Any]:
    own = [step for step in found.steps if step.own] or found.steps
    times = [found.at_ns + round(step.after_us * 1000) for step in own]
    workers = [by_pid[pid] for pid in dict.fromkeys(step.process for step in found.steps) if pid in by_pid]
    shown = [numbers[id(step)] for step in own if id(step) in numbers]
    return [found.cause, times[-1], times[0], times[-1], 0, 0, workers, CAUSES[found.cause].title, shown]
