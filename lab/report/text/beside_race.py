"""Say what the short explorations beside a race covered, and how to see the interleaving that one found."""

from __future__ import annotations

from collections.abc import Iterator

from lab.output import lab_command
from lab.records import ExploredCase, Run
from lab.report.format import plural


def explored(run: Run) -> Iterator[str]:
    """Yield a sentence for each lock: which of its cases held when they were explored, and in what."""
    groups: dict[str, dict[str, str]] = {}
    for case in run.cases:
        if case.explored and not case.breaking_exploration:
            groups.setdefault(case.lock, {})[case.scenario] = _cover(case.explored)
    for lock, covers in groups.items():
        held = {name: cover for name, cover in covers.items() if cover}
        parts = [f"no order of steps breaks {', '.join(f'{name} ({held[name]})' for name in held)}"] * bool(held)
        others = ", ".join(name for name in covers if not covers[name])
        parts += [f"nothing broke in {others}, of which not every order was tried"] * bool(others)
        yield f"{lock}, explored too (workers x rounds): {'; '.join(parts)}."


def _cover(record: ExploredCase) -> str:
    """Return what was covered; empty where that is not enough to hold."""
    if record.verdict != "holds":
        return ""
    bound = "" if record.exhausted else f", at most {plural(record.bound or 0, 'preemption')}"
    return f"{record.workers} x {record.rounds}{bound}"


def evidence(record: ExploredCase) -> Iterator[str]:
    """Yield the lines below the complaint about a case that only the exploration broke."""
    yield f"  {record.headline}"
    yield "  --explain shows it step by step"
    yield f"  on the real kernel: {lab_command()} replay {record.token}"
