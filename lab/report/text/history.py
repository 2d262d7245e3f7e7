"""Write the judgement of a history: the verdict, what it rests on, and the calls that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lab.analysis.statistics import plural
from lab.errors import ExitCode
from lab.records import History, HistoryCall, HistoryCore
from lab.report.documents import Report
from lab.report.format import PLAIN, Style, duration, grid, table_width, wrapped

from .calls import Made, refuted

HEAD = ["process", "call", "result", "from", "to"]
PICTURE = "time"
LEFT = ["left", "left", "left", "right", "right"]

MOST_ROWS, MOST_WIDTH, LEAST_PICTURE = 16, 18, 12
"""So many calls are shown, texts of at most so many characters, and beside them a picture of at least so many."""

EXITS = {"linearizable": ExitCode.AS_EXPECTED, "not linearizable": ExitCode.DAMAGE, "unknown": ExitCode.UNABLE}


def text_of(run: History, style: Style = PLAIN) -> str:
    """Return the whole report."""
    return "\n\n".join([wrapped(f"{_heading(run)}."), wrapped(_verdict(run)), *_core(run)])


def _heading(run: History) -> str:
    crashed = f", {run.open_calls:,} of them never came back" if run.open_calls else ""
    parts = f", in {run.parts:,} parts" if run.parts > 1 else ""
    of = f"on the object {run.options.model}{parts}{crashed}"
    return f"{run.options.file}: {plural(run.calls, 'call')} by {plural(run.processes, 'process')} {of}"


def _verdict(run: History) -> str:
    part = f" of part {run.part}" if run.part else ""
    if run.verdict == "linearizable":
        return f"linearizable: an order of the calls explains every result ({duration(1e9 * run.wall_s)})."
    if run.verdict == "unknown":
        rest = f"{plural(run.undecided, 'part')} of {run.parts:,} left, the first is {run.part}; " * bool(run.part)
        tried = f"{plural(run.configurations, 'beginning')} of orders tried in {duration(1e9 * run.wall_s)}"
        return f"unknown: gave up when the {run.limit} was over ({rest}{tried}). What helps: {'; '.join(run.helps)}."
    why = f" The values say: {run.why}." if run.why else ""
    needed = len(run.core.calls) if run.core else run.calls
    free = len(run.core.any_time) if run.core else 0
    more = f", and {free:,} that may have come at any time" if free else ""
    contradict = f"no order explains {'this' if needed == 1 else 'these'} {plural(needed, 'call')}{part}{more}"
    return f"not linearizable: {contradict} ({duration(1e9 * run.wall_s)}).{why}"


def _core(run: History) -> Iterator[str]:
    if not run.core:
        return
    has_times = run.options.format == "jsonl"
    yield _table(run.core, duration if has_times else str)
    yield from _beside(run, run.core)
    if run.core.orders:
        calls = [Made(f"process {_short(each.process, 10)}", _short(each.call), _short(each.result, 14))
                 for each in (*run.core.calls, *run.core.any_time)]  # fmt: skip
        yield refuted(calls, run.core.orders, run.core.orders_left_out)


def _table(core: HistoryCore, moment: Callable[[int], str]) -> str:
    """Return the last of the calls, with a picture of their times; `moment` writes one."""
    at_any_time = core.any_time if len(core.any_time) + len(core.calls) <= MOST_ROWS else []
    shown = core.calls[-MOST_ROWS:]
    begin = min(call.start_ns for call in shown)
    last = max(max(call.start_ns, call.end_ns or 0) for call in shown)
    rows = [[*_cells(call), moment(call.start_ns - begin), _end(call, begin, moment)] for call in shown]
    rows += [[*_cells(call), "any time", "or never"] for call in at_any_time]
    taken = sum(max(len(row[at]) for row in [HEAD, *rows]) + 2 for at in range(len(HEAD)))
    width = max(LEAST_PICTURE, min(table_width() - taken, 40))
    pictures = [_picture(call, begin, last, width) for call in shown] + [f"<{'-' * (width - 2)}>"] * len(at_any_time)
    lines = grid(HEAD, rows, LEFT).splitlines()  # which strips the spaces before a bar: it is set beside the table
    beside = [PICTURE, "-" * width, *pictures]
    return "\n".join(f"{line}  {bar}" for line, bar in zip(lines, beside, strict=True))


def _cells(call: HistoryCall) -> list[str]:
    return [_short(call.process, 10), _short(call.call), _short(call.result, 14)]


def _short(text: str, most: int = MOST_WIDTH) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _end(call: HistoryCall, begin: int, moment: Callable[[int], str]) -> str:
    return "never" if call.end_ns is None else moment(call.end_ns - begin)


def _picture(call: HistoryCall, begin: int, last: int, width: int) -> str:
    """Return a bar from the start of the call to its end; one that never came back is open."""

    def place(moment: int) -> int:
        return (moment - begin) * (width - 1) // max(1, last - begin)

    start = place(call.start_ns)
    if call.end_ns is None:
        return " " * start + "|" + "-" * (width - start - 2) + ">" * (start < width - 1)
    end = place(call.end_ns)
    return " " * start + ("|" if start == end else f"|{'-' * (end - start - 1)}|")


def _beside(run: History, core: HistoryCore) -> Iterator[str]:
    """Yield what the table leaves out."""
    texts = []
    if core.starts > 1:
        texts.append(
            f"Earlier calls are left out: the object was then in one of {core.starts:,} states, and no order explains "
            "these calls from any of them."
        )
    if len(core.calls) > MOST_ROWS:
        texts.append(f"The {plural(len(core.calls) - MOST_ROWS, 'call')} before these are in the document (--json).")
    if core.any_time and len(core.any_time) + len(core.calls) > MOST_ROWS:
        free = len(core.any_time)
        needed, its = ("is", "its time and result do") if free == 1 else ("are", "their times and results do")
        texts.append(f"{plural(free, 'more call')} {needed} needed too, but {its} not matter here.")
    left_out = run.calls - len(core.calls) - len(core.any_time)
    if left_out:
        texts.append(f"{plural(left_out, 'other call')} of the history {'is' if left_out == 1 else 'are'} not needed.")
    if not core.smallest:
        texts.append("Fewer calls may do: the time for leaving some out was over.")
    if texts:
        yield wrapped(" ".join(texts))


def complaints(run: History) -> Iterator[str]:
    """Yield a line for a history that is not linearizable, or that was not decided."""
    if run.verdict == "not linearizable":
        needed = f"{len(run.core.calls):,} of its " if run.core else "its "
        yield f"{run.options.file}: not linearizable: no order explains {needed}{plural(run.calls, 'call')}"
    elif run.verdict == "unknown":
        yield f"{run.options.file}: unknown whether it is linearizable: the {run.limit} was over"


def exit_code(run: History) -> ExitCode:
    """Return DAMAGE for a history that is not linearizable, UNABLE for one that was not decided."""
    return EXITS[run.verdict]


COLOURS = {
    r"^linearizable\b": "green",
    r"(?m)^not linearizable\b": "bold red",
    r"(?m)^unknown\b": "yellow",
}

REPORT = Report(text_of, complaints, exit_code, COLOURS, formats=False)
