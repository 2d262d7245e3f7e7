"""Write a replay as text: what was performed, how often the result was the same, and what that proves."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import ExitCode
from lab.records import Replay
from lab.report.documents import Report
from lab.report.format import PLAIN, Style, plural, wrapped

from .explore import SEEN_WHOLE
from .schedule import CRASHES, columns, legend, uses_names


def exit_code(run: Replay) -> ExitCode:
    """Return AS_EXPECTED where every replay gave the same result, else DAMAGE."""
    if run.interrupted:
        return ExitCode.INTERRUPTED
    same = run.reproduced == run.times == run.options.times * max(1, len(run.options.real))
    return ExitCode.AS_EXPECTED if same else ExitCode.DAMAGE


def text_of(run: Replay, style: Style = PLAIN) -> str:
    """Return the whole report."""
    size = f"{plural(run.workers, 'worker')} x {plural(run.rounds, 'round')}"
    where = " and ".join(run.options.real) or run.environment.filesystem
    here = f"{where} on {run.environment.kernel}"
    return "\n\n".join(
        [
            wrapped(f"{run.scenario} under {run.lock}, {size}, real processes on {here}"),
            wrapped(run.headline, indent=2),
            columns(run.steps, run.workers if any(step.operation in CRASHES for step in run.steps) else None),
            legend(run.steps),
            "\n".join(wrapped(line, indent=2) for line in conclusions(run)),
        ]
    )


def conclusions(run: Replay) -> Iterator[str]:
    """Yield how often the result was the same, what was left, and what this does not prove."""
    if not run.on_disks:
        yield f"reproduced {run.reproduced} of {run.times}"
    for each in run.on_disks:
        again = f"; made again, for all pages were written back: {each.disturbed}" if each.disturbed else ""
        yield f"{each.filesystem}: reproduced {each.reproduced} of {each.times}{again}"
    if run.divergence:
        yield f"the model and the kernel part: {run.divergence}"
    for damage in run.damage:
        yield f"{damage.kind}: {'; '.join(damage.evidence) or plural(damage.count, 'operation')}"
    yield "This order of steps is possible on this kernel and file; how likely it is, only a race tells."
    if run.options.real:
        yield (
            "The filesystem was shut down and mounted anew: its file was found, not made. The lab chose when each page "
            "was written back, as the kernel may at any moment."
        )
    elif any(step.operation == "power" for step in run.steps):
        real = "" if uses_names(run.steps) else " As root, --real cuts the power of ext4 and xfs instead."
        yield f"What the power failure left of the file was made by hand: it shows what recovery makes of it.{real}"
    if run.line_bytes < SEEN_WHOLE:
        cut = plural(run.line_bytes, "byte")
        yield f"Copies were cut into moves of at most {cut} by hand; every processor moves {SEEN_WHOLE} at once."


def complaints(run: Replay) -> Iterator[str]:
    """Yield the lines for stderr: the replays whose result differed."""
    if run.divergence:
        yield f"not reproduced: {run.divergence}"
    elif not run.interrupted and run.reproduced < run.times:
        yield f"{run.times - run.reproduced} of {run.times} ended with other bytes or reports than the model has"
    if run.interrupted:
        yield f"interrupted; reproduced {run.reproduced} of {run.times} by then"


REPORT = Report(text_of, complaints, exit_code, formats=False)
