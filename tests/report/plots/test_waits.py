from __future__ import annotations

from math import log10

import numpy as np
import pytest
from matplotlib.figure import Figure

from lab.records import Distribution, Latency
from lab.report.plots.holds import curve, place, waits
from tests.report.plots_records import alone, bench_of, queue

NAMES = ["50", "90", "99", "99.9"]


def test_the_curve_rises_where_the_next_bucket_begins_and_ends_half_a_request_before_all() -> None:
    cost = queue("fcntl", 2, 1000, distribution=Distribution([100, 200, 5000], [50, 40, 10]))
    across, up = curve(cost)
    assert across == pytest.approx([0, -log10(0.5), -log10(0.1), log10(200)])
    assert up == [100, 200, 5000, 5000]


def test_no_time_is_below_a_nanosecond_where_the_scale_has_no_zero() -> None:
    assert curve(queue("fcntl", 2, 1000, distribution=Distribution([0, 1], [5, 5])))[1] == [1, 1, 1]


def test_the_marks_lie_at_p50_p99_and_p999() -> None:
    cost = queue("fcntl", 2, 1000, latency=Latency(count=1000, p50=500, p90=1, p99=1000, p999=90_000, max=1))
    picture = waits(bench_of(cost))
    assert picture
    axes = Figure().subplots()
    picture.panels[0].draw(axes)
    (marks,) = (np.asarray(line.get_data()) for line in axes.lines if line.get_linestyle() == "None")
    assert marks[0] == pytest.approx([place(0.5), 2, 3])
    assert marks[1].tolist() == [500, 1000, 90_000]


def test_times_are_on_a_logarithmic_scale_and_percentiles_are_named() -> None:
    picture = waits(bench_of(queue("fcntl", 2, 1000)))
    assert picture
    axes = Figure().subplots()
    picture.panels[0].draw(axes)
    assert axes.get_yscale() == "log"
    assert [axes.yaxis.get_major_formatter()(ns) for ns in (500, 1e3, 1e5, 1e9)] == ["500 ns", "1 us", "100 us", "1 s"]
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("percentile (%); marks: p50, p99, p99.9", "time (log scale)")
    assert axes.get_legend_handles_labels()[1] == ["fcntl"]


def test_each_price_and_number_of_workers_has_its_panel_which_says_from_when_to_when() -> None:
    costs = [queue("fcntl", 4, 1), queue("fcntl", 2, 1), queue("ofd", 2, 1), alone("ofd", 1)]
    costs.append(queue("ofd", 2, 1, price="hand-off"))
    picture = waits(bench_of(*costs))
    assert picture
    assert [panel.title for panel in picture.panels] == [
        "uncontended: from the call to its return",
        "hand-off, 2 workers: from release to next grant",
        "queue, 2 workers: from request to grant",
        "queue, 4 workers: from request to grant",
    ]
    fewer = waits(bench_of(*costs), every=False)
    assert fewer
    assert [panel.title.partition(":")[0] for panel in fewer.panels] == [
        "uncontended", "hand-off, 2 workers", "queue, 4 workers",
    ]  # fmt: skip


def test_there_is_no_picture_of_no_times() -> None:
    assert waits(bench_of(queue("fcntl", 2, 1000, distribution=Distribution()))) is None
    assert waits(bench_of(queue("fcntl", 2, 1000, reason="refused"))) is None
