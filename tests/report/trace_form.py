"""The form of a trace, by "Trace Event Format", the document of Google's Trace Viewer, and by what Perfetto drops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]
NAMED = {f"{what}_{kind}": kind for what in ("process", "thread") for kind in ("name", "sort_index")}
"""The metadata events, each with the argument that it must have."""


def of_kind(trace: dict[str, Any], phase: str) -> list[Event]:
    return [event for event in trace["traceEvents"] if event["ph"] == phase]


def problems(trace: dict[str, Any]) -> list[str]:
    """What a viewer would drop, or draw in the wrong place."""
    events = trace["traceEvents"]
    found = [f"{event}: {what}" for event in events for what in _wrong_with(event)]
    if found:
        return found
    numbers = [event["tid"] for event in events if event["name"] == "thread_name"]
    numbers += [event["pid"] for event in events if event["name"] == "process_name"]
    if len(numbers) != len(set(numbers)):
        found.append(f"numbers are used twice: {numbers}")
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    found += [
        f"{event}: on a row without a name" for event in events if event["ph"] != "M" and _row(event) not in named
    ]
    return found + list(_unnested(of_kind(trace, "X")))


def _row(event: Event) -> tuple[int, int]:
    return event["pid"], event["tid"]


def _wrong_with(event: Event) -> Iterator[str]:
    if not (isinstance(event.get("name"), str) and all(type(event.get(each)) is int for each in ("pid", "tid"))):
        yield "no name, pid or tid"
    phase = event.get("ph")
    if phase == "M":
        if NAMED.get(event["name"]) not in event["args"]:
            yield "metadata that no viewer knows"
        return
    if not isinstance(event.get("ts"), int | float):
        yield "no time"
    if phase == "X":
        if not (isinstance(event.get("dur"), int | float) and event["dur"] >= 0):
            yield "a bar of no length, or of a negative one"
    elif phase == "i":
        if event.get("s") not in ("t", "p", "g"):
            yield "an instant of no scope"
    else:
        yield f"an event of the unknown kind {phase!r}"


def _unnested(bars: list[Event]) -> Iterator[str]:
    """Bars of one row that overlap without one lying in the other, in whole ns as Perfetto cuts them."""
    rows: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for bar in bars:
        begin = int(bar["ts"] * 1000)
        rows[_row(bar)].append((begin, begin + int(bar["dur"] * 1000)))
    for row, spans in rows.items():
        open_ends: list[int] = []
        for begin, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            while open_ends and open_ends[-1] <= begin:
                open_ends.pop()
            if open_ends and end > open_ends[-1]:
                yield f"row {row}: {begin} to {end} ns lies across the end of another at {open_ends[-1]}"
            open_ends.append(end)
