"""Judge a history of calls: read it, find its model, and make the record of what was found."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from inspect import isclass
from json import dumps
from pathlib import Path
from typing import Any

from lab.calls import Calls
from lab.errors import UsageError
from lab.histories.automaton import OfModel, Specification
from lab.histories.call import UNKNOWN, Call, call_text, value_text
from lab.histories.core import Core, core_of
from lab.histories.judge import Budget, Judgement, judge
from lab.histories.models import MODELS
from lab.histories.readers import Format, Line, check_fits, guessed_format, model_of, read
from lab.host.environment import anonymous_text
from lab.host.procfs import resident_bytes
from lab.processes.deadlines import Limited, TooLong
from lab.records import SCHEMA, History, HistoryCall, HistoryCore, HistoryOptions, RefutedOrder
from lab.scenario.find import load_module

from .verbs import Job

TIME_LIMIT_S, CORE_S = 10.0, 5.0
"""A judgement takes at most so long, and then the search for the smallest core."""

MOST_BYTES = 2 << 30
"""A judgement may use so much memory."""

LONGEST_FILE = 1 << 30

STANDARD_INPUT = "-"

PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")
"""The first bytes of files of gzip, bzip2, xz, zstd and zip."""

Recorded = Calls | str | os.PathLike[str] | Iterable[Call | Mapping[str, Any]]
"""A history: what recorded it, its file, or its calls, each as a line of such a file would say it."""


def history(
    file: str,
    *,
    object: str = "",  # noqa: A002 - `--as` has the name of an object
    model: Path | None = None,
    format: Format | None = None,  # noqa: A002 - as on the command line
    time_limit: float = TIME_LIMIT_S,
) -> Job[History]:
    """Judge the history in a file, or of standard input where its name is -.

    Without `object` and `model` the names of the calls say what they are of. Raises UsageError for a file that cannot
    be read, a line that is broken, and a model that does not have the calls.
    """
    text = _text_of(file)
    written = format or guessed_format(text)
    lines = read(text, file, written)
    name = str(model) if model else object or model_of(lines, file)
    specification = OfModel(load_model(model) if model else MODELS[name])
    check_fits(lines, specification, file)
    options = HistoryOptions(anonymous_text(file), anonymous_text(name), time_limit, written)
    return Job(1, lambda tell: judged([line.call for line in lines], specification, options))


def load_model(path: Path) -> type:
    """Return the class `Model` of a file, or the one that a class in it has under this name.

    Raises UsageError where there is none, or several, and where the file does not load.
    """
    module = load_module(path, "no such model file; give the path of a .py file with a class Model")
    own = [kind for kind in vars(module).values() if isclass(kind) and kind.__module__ == module.__name__]
    inner = [getattr(kind, "Model", None) for kind in own]
    models = [kind for kind in own if kind.__name__ == "Model"] or [kind for kind in inner if isclass(kind)]
    models = list(dict.fromkeys(models))
    if len(models) != 1:
        what = "no class Model" if not models else f"{len(models)} classes Model"
        raise UsageError(f"{path}: has {what}; give a file with one, which has a method for each call")
    return models[0]


def _text_of(file: str) -> str:
    """Return the text of the file. Raise UsageError where it cannot be read, is no text, or far too long."""
    try:
        if file == STANDARD_INPUT:
            content = sys.stdin.buffer.read(LONGEST_FILE + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(LONGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); give the file of a history") from error
    if content.startswith(PACKED):
        raise UsageError(f"{file}: is compressed; give the text, such as from zcat FILE | lab history -")
    if len(content) > LONGEST_FILE:
        raise UsageError(f"{file}: is larger than {LONGEST_FILE >> 20} MiB; give a part of it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{file}:{line}: is no text in UTF-8; give the file of a history") from error


def judged(calls: Sequence[Call], specification: Specification, options: HistoryOptions) -> History:
    """Return the record of a judgement. Raises UsageError where the model fails, or a method of it does not return."""
    begun, before = time.monotonic(), resident_bytes()
    budget = Budget(begun + options.time_limit_s, memory=lambda: resident_bytes() - before, most_bytes=MOST_BYTES)
    core = None
    try:
        with Limited(2 * options.time_limit_s + 2 * CORE_S):
            judgement = judge(calls, specification, budget)
            if judgement.verdict == "not linearizable":
                core = core_of(judgement, specification, CORE_S)
    except TooLong:
        raise UsageError(f"model {options.model}: a call of it is still running; fix it") from None
    return History(
        schema=SCHEMA,
        options=options,
        verdict=judgement.verdict,
        calls=len(calls),
        open_calls=sum(call.open for call in calls),
        processes=len({call.process for call in calls}),
        parts=judgement.parts,
        exact_parts=judgement.exact,
        searched_parts=judgement.searched,
        configurations=judgement.configurations,
        states=judgement.states,
        wall_s=round(time.monotonic() - begun, 6),
        part="" if judgement.part is None else value_text(judgement.part),
        why=core.why if core else "",
        core=_recorded_core(core) if core else None,
        undecided=judgement.undecided,
        limit=judgement.reason,
        helps=list(_helps(judgement, specification)) if judgement.verdict == "unknown" else [],
    )


def _recorded_core(core: Core) -> HistoryCore:
    return HistoryCore(
        [_recorded(call) for call in core.calls],
        [_recorded(call) for call in core.any_time],
        [RefutedOrder(list(each.calls), each.would_give, each.start) for each in core.orders],
        core.orders_left_out,
        core.smallest,
        core.starts,
    )


def _recorded(call: Call) -> HistoryCall:
    result = "" if call.result is UNKNOWN else value_text(call.result)
    return HistoryCall(str(call.process), call_text(call), result, call.start, call.end)


def _helps(judgement: Judgement, specification: Specification) -> Iterable[str]:
    """Yield what would help to decide this history."""
    if judgement.reason == "time":
        yield "a longer --time-limit"
    model = specification.model if isinstance(specification, OfModel) else None
    known = model in MODELS.values()
    if known and model is not MODELS["mutex"]:
        yield "values of which none is written twice: they tell which call wrote what"
    crashed = sum(call.open for call in judgement.calls)
    if crashed:
        yield f"fewer calls that never came back: {crashed} of these {len(judgement.calls):,}"
    if judgement.parts == 1 and not known:
        yield "`part_of` in the model, where calls on different parts never meet; `only_reads`, where calls only read"
    yield "a shorter history, or fewer processes at once"


def assert_linearizable(
    calls: Recorded, model: type | str | os.PathLike[str], *, time_limit: float = TIME_LIMIT_S
) -> None:
    """Assert that an order of the calls explains every result: that the object behaved as if one call came at a time.

    `calls` is what recorded them (`lab.calls.Calls`), the path of a history, or the calls themselves, each as a dict of
    a line of such a file. `model` is a class with a method for each call, the name of an object that the lab knows
    (register, map, log, counter, queue, stack, mutex), or the path of a file with a class `Model`.

    Raises AssertionError, with the smallest part that no order explains, and where that was not found out within
    `time_limit` seconds. Raises UsageError for a history or a model that makes no sense.
    """
    __tracebackhide__ = True
    found = checked_history(calls, model, time_limit)
    if found.verdict != "linearizable":
        from lab.report.text.history import text_of

        raise AssertionError(text_of(found))


def checked_history(calls: Recorded, model: type | str | os.PathLike[str], time_limit: float) -> History:
    """Judge as `assert_linearizable` does; return the record."""
    lines, name = _lines_of(calls)
    kind = _model_of(model)
    specification = OfModel(kind)
    check_fits(lines, specification, name)
    options = HistoryOptions(name, model if isinstance(model, str) else kind.__name__, time_limit)
    return judged([line.call for line in lines], specification, options)


def _model_of(model: type | str | os.PathLike[str]) -> type:
    if isclass(model):
        return model
    if isinstance(model, str) and model in MODELS:
        return MODELS[model]
    if isinstance(model, str | os.PathLike) and Path(model).suffix == ".py":
        return load_model(Path(model))
    raise UsageError(f"model={model!r}: no class, no file, and none of {', '.join(MODELS)}; give one of these")


def _lines_of(calls: Recorded) -> tuple[list[Line], str]:
    if isinstance(calls, Calls | str | os.PathLike):
        path = calls.path if isinstance(calls, Calls) else os.fspath(calls)
        return read(_text_of(path), anonymous_text(path)), anonymous_text(path)
    rows = list(calls)
    known = [Line(number, row) for number, row in enumerate(rows, 1) if isinstance(row, Call)]
    if known and len(known) == len(rows):
        for line in known:
            if line.call.last < line.call.start:
                raise UsageError(f"calls:{line.number}: ends before it starts; give the moments of one clock")
        return sorted(known, key=lambda line: line.call.start), "calls"
    try:
        text = "\n".join(dumps(row) for row in rows)
    except TypeError as error:
        raise UsageError(f"calls: one of them is no line of a history ({error}); give dicts, or their file") from error
    return read(text, "calls", "jsonl"), "calls"
