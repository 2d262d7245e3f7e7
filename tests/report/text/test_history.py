"""The report of a judged history, made from a record: it fits 80 columns, and says what it leaves out."""

from __future__ import annotations

from dataclasses import replace

from lab.errors import ExitCode
from lab.records import SCHEMA, History, HistoryCall, HistoryCore, HistoryOptions, RefutedOrder
from lab.report.text.calls import Made, refuted
from lab.report.text.history import complaints, exit_code, text_of

LONG = "x" * 60


def call(number: int, end: int | None = 0, text: str = "write(1)", result: str = "") -> HistoryCall:
    return HistoryCall(str(number), text, result, 1_000 * number, end if end is None else 1_000 * number + 1_500)


def history_of(core: HistoryCore | None = None, **given: object) -> History:
    run = History(
        schema=SCHEMA,
        options=HistoryOptions("calls.jsonl", "register", 10.0),
        verdict="not linearizable" if core else "linearizable",
        calls=100,
        open_calls=1,
        processes=4,
        parts=1,
        exact_parts=1,
        searched_parts=0,
        configurations=0,
        states=0,
        wall_s=0.001,
        core=core,
    )
    return replace(run, **given)  # type: ignore[arg-type]


def bars(text: str) -> list[str]:
    """The pictures of the rows."""
    return [line[line.rindex("  ", 0, line.index("|")) :].strip() for line in text.splitlines() if "|" in line]


def test_the_bars_of_calls_lie_where_their_times_do_and_one_that_never_came_back_is_open() -> None:
    text = text_of(history_of(HistoryCore([call(0), call(2, None), call(3)], [call(9)], [RefutedOrder([0, 1], "2")])))
    assert [(bar[0], bar[-1]) for bar in bars(text)] == [("|", "|"), ("|", ">"), ("|", "|")]
    columns = [line.index("|") for line in text.splitlines() if "|" in line]
    assert columns == sorted(columns)
    assert columns[0] < columns[1] < columns[2]
    assert "any time  or never  <-" in text
    assert "96 other calls of the history are not needed." in text


def test_texts_that_are_long_are_cut_to_80_columns_and_rows_that_are_many_are_counted() -> None:
    long = replace(call(0, None, LONG, LONG), process=LONG)
    core = HistoryCore(
        [long, *map(call, range(1, 41))],
        [long] * 30,
        [RefutedOrder([0, 1, 2, 3, 4, 41], LONG)],
        7,
        smallest=False,
        starts=6,
    )
    text = text_of(history_of(core, why="write(1) was not read", part="'k'"))
    assert max(map(len, text_of(history_of(HistoryCore([long, long], [long], []))).splitlines())) <= 80
    assert len(bars(text)) == 16
    for part in (
        "The 25 calls before these are in the document",
        "no order explains these 41 calls of part 'k', and 30 that may have come at any time (",
        "30 more calls are needed too, but their times and results do not matter here.",
        "29 other calls of the history are not needed.",
        "the object was then in one of 6 states",
        "Fewer calls may do",
        "7 more orders would give other results too.",
        "of part 'k'",
    ):
        assert part in " ".join(text.split())


def test_each_verdict_has_its_exit_code_and_what_is_unknown_says_what_helps() -> None:
    unknown = history_of(
        verdict="unknown", limit="time", helps=["a longer --time-limit"], undecided=2, parts=3, part="5"
    )
    text = " ".join(text_of(unknown).split())
    assert "unknown: gave up when the time was over (2 parts of 3 left, the first is 5; " in text
    assert "What helps: a longer --time-limit." in text
    wrong = history_of(HistoryCore([call(0)], [], []))
    runs = [history_of(), wrong, unknown]
    assert [exit_code(run) for run in runs] == [ExitCode.AS_EXPECTED, ExitCode.DAMAGE, ExitCode.UNABLE]
    assert [len(list(complaints(run))) for run in runs] == [0, 1, 1]


def test_orders_have_a_column_for_each_worker_or_one_where_these_do_not_fit() -> None:
    made = [Made("worker 0", "put(1)", "True"), Made("worker 10", "take()", ""), Made("worker 2", "put(2)", "False")]
    orders = [RefutedOrder([0, 2, 1], ""), RefutedOrder([1, 0], "1", "count = 1")]
    text = refuted(made, orders, 2)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "starts with worker 0 worker 2 worker 10 would give gave" in rows
    assert "any state 1 put(1) 2 put(2) 3 take() cannot return not known" in rows
    assert "count = 1 2 put(1) 1 take() 1 True" in rows
    assert rows[-1] == "2 more orders would give other results too."
    long = [Made(f"worker {number}", f"put({'9' * 20})", "True") for number in range(4)]
    for many in (long, [Made(f"worker {number}", "put(1)", "True") for number in range(5)]):
        text = refuted(many, [RefutedOrder([3, 1, 2, 0], "False")], 0)
        assert max(map(len, text.splitlines())) <= 80
        assert "1 worker 3 put(" in text
