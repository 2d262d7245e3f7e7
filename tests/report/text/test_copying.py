from __future__ import annotations

from lab.records import Bench, BenchOptions, Copying
from lab.report.format import Style
from lab.report.text.bench import exit_code, text_of
from tests.report.records import header
from tests.report.toured_records import HERE


def bench_of(*rows: Copying, sizes: tuple[int, ...] = (64, 4096)) -> Bench:
    options = BenchOptions([], list(sizes), "/tmp", 1.0, 9)  # noqa: S108 - a name
    return Bench(**header(HERE), options=options, copying=list(rows))


def row(backing: str, size: int, median_ns: float, spread: float = 0.0) -> Copying:
    interval = (median_ns, median_ns * (1 + spread))
    return Copying(
        backing=backing, bytes=size, calls=1, samples_ns=[median_ns], median_ns=median_ns, interval_95=interval
    )


def cells(run: Bench) -> list[list[str]]:
    lines = text_of(run, Style("pipe")).splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_for_a_program_there_is_a_row_for_each_figure() -> None:
    run = bench_of(row("mapped", 64, 100.0), row("stream", 64, 250.0, 0.2), row("stream", 4096, 900.0))
    head, *rows = [line.split(",") for line in text_of(run, Style("csv")).splitlines()]
    assert [dict(zip(head, each, strict=True))["times_mapped"] for each in rows] == ["1.0", "2.5", ""]
    assert rows[1][:6] == ["stream", "load", "64", "250.0", "250.0", "300.0"]


def test_a_figure_is_set_against_mapped() -> None:
    run = bench_of(row("mapped", 64, 100.0), row("stream", 64, 250.0), sizes=(64,))
    assert cells(run) == [["mapped", "load", "100 ns", "1.0"], ["stream", "load", "250 ns", "2.5"]]


def test_a_figure_that_is_missing_is_a_dash() -> None:
    assert cells(bench_of(row("stream", 4096, 250.0))) == [["stream", "load", "-", "-", "250 ns", "-"]]


def test_figures_of_zero_are_set_against_nothing() -> None:
    run = bench_of(row("mapped", 64, 0.0), row("stream", 64, 250.0), sizes=(64,))
    assert cells(run) == [["mapped", "load", "0 ns", "-"], ["stream", "load", "250 ns", "-"]]
    assert text_of(run)


def test_the_worst_figure_is_one_of_the_table() -> None:
    text = text_of(bench_of(row("call", 0, 10.0, 0.9), row("mapped", 64, 100.0, 0.2)))
    assert "Unsteady: 1 of 1 figure spread by 10 % of the median or more, most mapped load 64 B (20 %)." in " ".join(
        text.split()
    )
    assert "Unsteady" not in text_of(bench_of(row("call", 0, 10.0, 0.9), row("mapped", 64, 100.0)))


def test_a_backing_that_was_not_measured_ends_with_3() -> None:
    assert exit_code(bench_of(Copying(backing="posix", reason="no room"))) == 3
    assert exit_code(bench_of()) == 0
