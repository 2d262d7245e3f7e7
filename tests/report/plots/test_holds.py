from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from lab.records import Bench, Holds, Run
from lab.report.plots.holds import HOLDING, SHARING, WAITING, holds
from lab.report.plots.style import Picture
from tests.report.page.recordings import held
from tests.report.plots_records import alone, bench_of, queue, taking_turns
from tests.report.records import CLEAN, run_of

Bars = list[tuple[float, float]]


def picture(document: Bench | Run, *, every: bool = True) -> Picture:
    found = holds(document, every=every)
    assert found
    return found


def drawn(columns: Holds, workers: int = 2) -> Axes:
    axes = Figure().subplots()
    picture(bench_of(queue("fcntl", workers, 1000, holds=columns))).panels[0].draw(axes)
    return axes


def bars(axes: Axes, colour: str) -> list[Bars]:
    """Begin and end of every bar of a colour, a list for each worker."""
    from matplotlib.colors import same_color

    found = []
    for strip in axes.collections:
        assert isinstance(strip, PolyCollection)
        shape: Any = strip.get_facecolor()
        if same_color(shape[0], colour):
            boxes = [path.get_extents() for path in strip.get_paths()]
            found.append([(round(float(box.x0), 3), round(float(box.x1), 3)) for box in boxes])
    return found


def test_a_worker_waits_from_its_request_to_the_grant_and_holds_to_the_release() -> None:
    columns = Holds([0, 1], [1000, 1500], [2000, 5000], [5000, 9000], [0, 0], [1, 1], [1, 1])
    axes = drawn(columns)
    assert bars(axes, WAITING) == [[(-1.0, 0.0)], [(-0.5, 3.0)]]
    assert bars(axes, HOLDING) == [[(0.0, 3.0)], [(3.0, 7.0)]]
    assert axes.get_xlim() == (0, 7)
    assert axes.get_xlabel() == "time since the first grant shown (us)"


def test_a_lock_that_readers_share_has_a_colour_and_a_name_of_its_own() -> None:
    axes = drawn(Holds([0, 1], [0, 0], [0, 0], [5000, 5000], [0, 0], [1, 1], [0, 0]))
    assert bars(axes, SHARING) == [[(0.0, 5.0)], [(0.0, 5.0)]]
    assert set(axes.get_legend_handles_labels()[1]) == {"waiting", "holding, shared"}


def test_who_was_never_granted_the_lock_waited_to_the_end() -> None:
    axes = drawn(Holds([0, 1], [0, 1000], [0, -1], [5000, -1], [0, 0], [1, 1], [1, 1]))
    assert bars(axes, WAITING)[1] == [(1.0, 5.0)]
    assert bars(axes, HOLDING) == [[(0.0, 5.0)]]


def test_a_lock_that_was_never_released_is_a_cross_at_its_grant() -> None:
    axes = drawn(Holds([0, 1], [0, 1000], [0, 4000], [2000, -1], [0, 0], [1, 1], [1, 1]))
    (cross,) = axes.lines
    assert np.asarray(cross.get_data()).tolist() == [[4], [1]]
    assert cross.get_label() == "never released"
    assert bars(axes, HOLDING) == [[(0.0, 2.0)]]


def test_of_a_benchmark_only_the_time_is_shown_of_which_all_is_known() -> None:
    columns = Holds([0, 1, 0], [0, 500, 3000], [1000, 9000, 4000], [3000, 9500, 5000], [0, 0, 0], [1, 1, 1], [1, 1, 1])
    axes = Figure().subplots()
    picture(bench_of(queue("fcntl", 2, 1000, holds=columns, holds_ns=(1000, 5000)))).panels[0].draw(axes)
    assert axes.get_xlim() == (0, 4)
    assert bars(axes, WAITING)[1] == [(-0.5, 8.0)]


def test_every_worker_has_a_strip_and_so_has_a_second_owner() -> None:
    axes = drawn(Holds([0, 3], [0, 0], [0, 0], [5000, 5000], [0, 0], [1, 1], [1, 1]), workers=3)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "worker 0", "worker 1", "worker 2", "2nd owner in 0",
    ]  # fmt: skip


def test_sixteen_workers_have_a_higher_panel_than_two() -> None:
    few, many = picture(bench_of(queue("fcntl", 2, 1), queue("fcntl", 16, 1))).panels
    assert many.height > few.height + 14 * 0.2


def test_queues_come_before_hand_offs_and_these_before_uncontended_locks() -> None:
    costs = [alone("fcntl", 1), queue("fcntl", 2, 1, name="passed", price="hand-off"), queue("fcntl", 2, 1)]
    assert [
        [panel.title for panel in picture(bench_of(*costs[:count])).panels] for count in (1, 2, 3)
    ] == [["fcntl uncontended"], ["passed"], ["fcntl queue, 2 workers"]]  # fmt: skip


def test_beside_other_pictures_each_lock_has_its_first_case_of_most_workers() -> None:
    costs = [queue("fcntl", 2, 1), queue("fcntl", 8, 1), queue("fcntl", 8, 1, name="apart"), queue("ofd", 2, 1)]
    assert len(picture(bench_of(*costs)).panels) == 4
    fewer = picture(bench_of(*costs), every=False).panels
    assert [panel.title for panel in fewer] == ["fcntl queue, 8 workers", "ofd queue, 2 workers"]


def test_the_recorded_trials_of_a_race_are_drawn_too() -> None:
    found = picture(run_of(held(4), CLEAN, replace(held(2), scenario="bank", workers=3)))
    assert [panel.title for panel in found.panels] == ["counter, fcntl, 2 workers", "bank, fcntl, 3 workers"]
    axes = Figure().subplots()
    found.panels[0].draw(axes)
    assert bars(axes, HOLDING) == [[(0.0, 0.9), (2.0, 2.9)], [(1.0, 1.9), (3.0, 3.9)]]


@pytest.mark.parametrize("holds_of_it", [Holds(), None])
def test_there_is_no_picture_of_no_holds(holds_of_it: Holds | None) -> None:
    cost = queue("fcntl", 2, 1, holds=holds_of_it or taking_turns(2), reason="" if holds_of_it else "refused")
    assert holds(bench_of(cost)) is None
    assert holds(run_of(CLEAN)) is None
