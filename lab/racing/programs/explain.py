"""Say why a copy of a program did not end well: its exit code and last lines, its signal, or that it did not wait."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping

from lab.host.environment import anonymous_text
from lab.processes import Exit, Outputs
from lab.processes.external import KEPT
from lab.racing.worker import Setting
from lab.records import Failure, How

from .watch import Ran

STDOUT, STDERR = 1, 2
LINES = 12
FIX = "a script needs a #! line, or its interpreter named before it"
WIDTH = 200


def explain_programs(setting: Setting, trial: int, ran: Ran, refused: Mapping[int, str]) -> Iterator[Failure]:
    """Return one failure for each program that did not start, did not wait for the start, or did not end well."""
    for ended in ran.exits:
        index = ended.index
        if index not in setting.programs or (ran.unready and index not in ran.unready):
            continue
        if index in refused:
            yield _failure(trial, ended, ran, "raised", f"could not be started ({refused[index]}); {FIX}")
        elif not ran.well(index):
            yield _failure(trial, ended, ran, *_how_and_why(setting, ended, ran))


def _how_and_why(setting: Setting, ended: Exit, ran: Ran) -> tuple[How, str]:
    """Return how it failed, in the record's word and in a sentence."""
    limit = f"{setting.time_limit_s:g} s"
    if ended.code is None:
        where = f" in {ended.where}" if ended.where else ""
        return "late", f"did not end on SIGKILL: process {ended.pid} hangs{where} and was left behind"
    if ended.stopped:
        return "late", f"was stopped by a signal (SIGSTOP) and still was after {limit}"
    if ended.late and not ran.unready:
        before_ns = ran.released_ns + int(setting.time_limit_s * 1e9)
        return "late", f"was still at work after {limit}{ran.samples.stuck(ended.index, before_ns)}"
    if ended.late:
        return "late", f"ignored the start signal: it did not read {{start}} to its end (time limit {limit})"
    if ended.code < 0:
        return "killed", f"was killed by {signal_name(-ended.code)}"
    if ended.code:
        return "raised", f"exited with {ended.code}"
    return "raised", "ignored the start signal: it exited with 0 and had not read {start} to its end"


def _failure(trial: int, ended: Exit, ran: Ran, how: How, reason: str) -> Failure:
    stream = STDERR if ran.outputs.counted[ended.index, STDERR] else STDOUT
    lines = last_lines(ran.outputs, ended.index, stream)
    last = f": {lines[-1]}" if lines else ""
    return Failure(
        trial=trial,
        worker=ended.index,
        round=0,
        how=how,
        reason=anonymous_text(f"(program) {reason}{last}"),
        trace=anonymous_text(output_trace("program", ran.outputs, ended.index, stream)) if len(lines) > 1 else "",
        pid=ended.pid or None,
        where=ended.where,
        program=True,
    )


def last_lines(outputs: Outputs, index: int, stream: int) -> list[str]:
    """Return the last lines of a worker's output, without control characters that a terminal would obey."""
    text = outputs.last(index, stream)
    return [_printable(line)[:WIDTH] for line in text.splitlines() if line.strip()][-LINES:]


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in line.expandtabs()).rstrip()


def output_trace(what: str, outputs: Outputs, index: int, stream: int) -> str:
    """Return the last lines of a worker's output below a line that says whose they are."""
    name = "standard error" if stream == STDERR else "standard output"
    counted = outputs.counted[index, stream]
    lost = f", of {counted:,} bytes the last {KEPT:,} are kept" if counted > KEPT else ""
    lines = last_lines(outputs, index, stream)
    return "\n".join([f"the last lines of the {what}'s {name}{lost}:", *(f"  {each}" for each in lines)])


def signal_name(number: int) -> str:
    """Return SIGSEGV for 11, and "signal 99" for a number that has no name."""
    known = {each.value for each in signal.Signals}
    return signal.Signals(number).name if number in known else f"signal {number}"
