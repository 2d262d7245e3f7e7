from __future__ import annotations

from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from lab.records import Bench
from lab.report.plots.scaling import lines_of, scaling
from tests.report.plots_records import alone, bench_of, queue


def drawn(bench: Bench, panel: int = 0) -> Axes:
    picture = scaling(bench)
    assert picture
    axes = Figure().subplots()
    picture.panels[panel].draw(axes)
    return axes


def lines(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Workers and rates of each line, by its name."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for bars in axes.containers:
        assert isinstance(bars, ErrorbarContainer)
        across, up = bars[0].get_data()
        found[str(bars.get_label())] = ([float(x) for x in across], [float(y) for y in up])
    return found


def test_a_line_has_the_rate_at_each_number_of_workers_in_their_order() -> None:
    axes = drawn(bench_of(queue("fcntl", 4, 4000), queue("fcntl", 2, 2000), queue("ofd", 2, 1000)))
    assert lines(axes) == {"fcntl": ([2, 4], [500_000, 250_000]), "ofd": ([2], [1_000_000])}


def test_a_bar_goes_from_the_rate_at_the_upper_end_of_the_interval_to_that_at_the_lower() -> None:
    (bars,) = drawn(bench_of(queue("fcntl", 2, 1000, interval_95=(800.0, 2000.0)))).containers
    assert isinstance(bars, ErrorbarContainer)
    segments: Any = bars[2][0].get_paths()
    ((_, low), (_, high)) = segments[0].vertices
    assert (low, high) == pytest.approx((500_000, 1_250_000))


def test_the_uncontended_lock_is_the_first_point_where_no_queue_has_one_worker() -> None:
    axes = drawn(bench_of(alone("fcntl", 1000), queue("fcntl", 2, 2000), queue("fcntl", 2, 1000, ranges="disjoint")))
    assert lines(axes) == {
        "fcntl": ([1, 2], [1_000_000, 500_000]),
        "fcntl, disjoint": ([1, 2], [1_000_000, 1_000_000]),
    }


def test_a_queue_of_one_comes_before_the_uncontended_lock() -> None:
    (line,) = lines_of(bench_of(alone("fcntl", 1000), queue("fcntl", 1, 1100), queue("fcntl", 2, 2000)))
    assert [(cost.price, cost.workers) for cost in line] == [("queue", 1), ("queue", 2)]


@pytest.mark.parametrize("other", [{"held": 100}, {"backing": "mapped"}, {"hold_ns": 1000}, {"think_ns": 1000}])
def test_an_uncontended_lock_of_another_case_is_no_point_of_the_line(other: dict[str, Any]) -> None:
    (line,) = lines_of(bench_of(alone("fcntl", 1000), queue("fcntl", 2, 2000, **other)))
    assert [cost.workers for cost in line] == [2]


def test_locks_differ_in_colour_and_mark_and_variants_in_the_line_s_style() -> None:
    names = ["fcntl", "ofd", "flock", "a", "b", "c", "d", "e"]
    costs = [queue(lock, 2, 1000, ranges=ranges) for lock in names for ranges in ("same", "disjoint")]
    found = [(line[0].get_color(), line[0].get_marker(), line[0].get_linestyle()) for line in _bars(bench_of(*costs))]
    assert len({colour for colour, _, _ in found}) == len({mark for _, mark, _ in found}) == 8
    assert [style for _, _, style in found] == ["-", "--"] * 8


def _bars(bench: Bench) -> list[Any]:
    return list(drawn(bench).containers)


def test_the_axes_say_what_they_measure_and_name_each_number_of_workers() -> None:
    axes = drawn(bench_of(*(queue("fcntl", workers, 1000) for workers in (2, 4, 8))))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("workers (processes)", "pairs a second; bars: 95 % interval")
    assert [axes.xaxis.get_major_formatter()(at) for at in axes.get_xticks()] == ["2", "4", "8"]
    assert axes.get_ylim()[0] == 0


def test_locks_too_far_apart_are_on_a_logarithmic_scale() -> None:
    assert drawn(bench_of(queue("fcntl", 2, 1000), queue("soft", 2, 90_000))).get_yscale() == "log"
    assert drawn(bench_of(queue("fcntl", 2, 1000), queue("ofd", 2, 2000))).get_yscale() == "linear"


def test_the_heading_has_the_hold_and_the_think_time_of_all_queues() -> None:
    picture = scaling(bench_of(queue("fcntl", 2, 1000), hold_ns=20_000, think_ns=500, pin="one"))
    assert picture
    assert picture.heading.endswith(", hold 20.0 us, think 500 ns, all on one CPU")


def test_there_is_no_picture_without_a_queue_that_was_measured() -> None:
    assert scaling(bench_of(alone("fcntl", 1000), queue("ofd", 2, 1000, reason="refused"))) is None


def test_several_numbers_of_held_ranges_have_a_panel_of_the_uncontended_lock() -> None:
    costs = [alone("fcntl", 1000 * (1 + held), held=held) for held in (9, 0, 1)]
    axes = drawn(bench_of(*costs, queue("fcntl", 2, 1000), queue("fcntl", 2, 2000, held=9)), panel=1)
    assert lines(axes) == {"fcntl": ([0, 1, 9], [1_000_000, 500_000, 100_000])}
    assert axes.get_xlabel() == "ranges held on the file already"
    assert [axes.xaxis.get_major_formatter()(at) for at in axes.get_xticks()] == ["0", "1", "9"]


def test_without_the_uncontended_lock_it_is_the_queue_of_the_most_workers() -> None:
    costs = [queue("fcntl", workers, 1000, held=held) for workers in (2, 4) for held in (10, 100)]
    picture = scaling(bench_of(*costs))
    assert picture
    assert [panel.title for panel in picture.panels] == ["queue", "queue, 4 workers"]
    assert lines(drawn(bench_of(*costs), panel=1)) == {"fcntl": ([10, 100], [1_000_000, 1_000_000])}


def test_one_number_of_held_ranges_has_no_such_panel() -> None:
    picture = scaling(bench_of(alone("fcntl", 1000, held=10), queue("fcntl", 2, 1000, held=10)))
    assert picture
    assert [panel.title for panel in picture.panels] == [""]


def test_the_heading_names_the_locks_that_let_two_in() -> None:
    picture = scaling(bench_of(queue("fcntl", 2, 1), queue("a", 2, 1, overlapping=1), queue("b", 2, 1, lost=1)))
    assert picture
    assert picture.heading.endswith(", NOT EXCLUSIVE: a and b")
