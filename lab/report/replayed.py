"""A replay as text: what was performed, how often it came out the same, and what that proves."""

from __future__ import annotations

from collections.abc import Iterator

from lab.results import Replay

from .exploration import SEEN_WHOLE
from .formats import DEFAULT_FORMAT
from .interleaving import columns
from .words import plural

REPRODUCED, DIFFERENT, INTERRUPTED = 0, 1, 130


def exit_code(run: Replay) -> int:
    """0 reproduced every time, 1 not, 130 interrupted."""
    if run.interrupted:
        return INTERRUPTED
    return REPRODUCED if run.reproduced == run.times == run.options.times else DIFFERENT


def text_of(run: Replay, style: str = DEFAULT_FORMAT) -> str:
    """The whole report."""
    size = f"{plural(run.workers, 'worker')} x {plural(run.rounds, 'round')}"
    here = f"{run.environment.filesystem} on {run.environment.kernel}"
    return "\n\n".join(
        [
            f"{run.scenario} under {run.lock}, {size}, real processes on {here}",
            run.headline,
            columns(run.steps),
            "\n".join(conclusions(run)),
        ]
    )


def conclusions(run: Replay) -> Iterator[str]:
    """How often, what was left, and what it does not prove."""
    yield f"reproduced {run.reproduced} of {run.times}"
    if run.divergence:
        yield f"the model and the kernel part: {run.divergence}"
    for damage in run.damage:
        yield f"{damage.kind}: {'; '.join(damage.evidence) or plural(damage.count, 'operation')}"
    yield "This order of steps is possible on this kernel and file; how likely it is, only a race tells."
    if run.line_bytes < SEEN_WHOLE:
        cut = plural(run.line_bytes, "byte")
        yield f"Copies were cut into moves of at most {cut} by hand; every processor moves {SEEN_WHOLE} at once."


def complaints(run: Replay) -> Iterator[str]:
    """For stderr: what did not come out the same."""
    if run.divergence:
        yield f"not reproduced: {run.divergence}"
    elif not run.interrupted and run.reproduced < run.times:
        yield f"{run.times - run.reproduced} of {run.times} ended with other bytes or reports than the model has"


def interruption(run: Replay) -> str:
    """How far a replay came that was interrupted; empty where it was not."""
    return f"interrupted; reproduced {run.reproduced} of {run.times} by then" if run.interrupted else ""
