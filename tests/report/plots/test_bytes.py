from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from lab.records import Block, Case
from lab.report.plots.bytes import CELLS, UNKNOWN, bytes_by_writer, left_by
from tests.report.page.recordings import FOUND, LOST, STORE, Row, accesses_of, counted, held
from tests.report.records import UNLOCKED, run_of


def left(rows: list[Row], after: bytes) -> Case:
    """A damaged case of two workers that stored these, and whose file holds `after` in the end."""
    recording = counted([], 0)
    blocks = [Block(0, bytes(len(after)).hex(), after.hex())]
    made = replace(recording, size=len(after), blocks=blocks, accesses=accesses_of(rows), damage=FOUND)
    return replace(UNLOCKED, recording=made)


def shares(case: Case) -> list[list[float]]:
    found = left_by(case)
    assert found
    known: list[list[float]] = np.nan_to_num(found.shares).tolist()
    return known


def test_a_byte_is_of_the_worker_that_stored_it_last() -> None:
    case = left([(0, 0, STORE, 10, 20, b"aaaa"), (1, 0, STORE, 30, 40, b"bb")], b"bbaa")
    assert shares(case) == [[0, 0, 1, 1], [1, 1, 0, 0]]


def test_bytes_that_no_store_can_have_left_are_unknown() -> None:
    found = left_by(left([(0, 0, STORE, 10, 20, b"aaaa")], b"aaxx"))
    assert found
    assert found.lanes == [0, 1, UNKNOWN]
    assert np.nan_to_num(found.shares).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]


def test_a_cell_of_several_bytes_tells_each_worker_s_share_of_them() -> None:
    size = 4 * CELLS
    case = left([(0, 0, STORE, 10, 20, b"a" * size), (1, 0, STORE, 30, 40, b"b")], b"b" + b"a" * (size - 1))
    found = left_by(case)
    assert found
    assert (found.cell, found.shares.shape) == (4, (2, CELLS))
    assert (found.shares[0, 0], found.shares[1, 0]) == (0.75, 0.25)
    assert found.shares[0, 1] == 1
    assert np.isnan(found.shares[1, 1])


def test_bytes_that_nobody_stored_to_have_no_part_in_a_cell() -> None:
    case = left([(0, 0, STORE, 10, 20, b"a"), (1, 0, STORE, 30, 40, b"b")], b"a" + bytes(4 * CELLS - 2) + b"b")
    assert case.recording
    case.recording.accesses.start[1] = 4 * CELLS - 1
    found = left_by(case)
    assert found
    assert (found.cell, found.shares[0, 0], found.shares[1, -1]) == (4, 1, 1)
    assert np.isnan(found.shares[:, 1:-1]).all()


def test_the_cells_of_what_went_wrong_are_marked_and_the_damage_is_told() -> None:
    found = left_by(LOST)
    assert found
    assert found.wrong == list(range(8))
    assert found.title == "counter, none, 2 workers: lost update 1 of 3"


def test_the_map_has_a_row_a_worker_and_says_what_a_cell_is() -> None:
    picture = bytes_by_writer(run_of(LOST))
    assert picture
    axes = Figure().subplots()
    picture.panels[0].draw(axes)
    (image,) = axes.images
    assert np.ma.filled(np.ma.asarray(image.get_array()), 0).tolist() == shares(LOST)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["went wrong", "worker 0", "worker 1"]
    assert axes.get_xlabel() == "byte of the file (a cell is 1 byte)"


def test_only_the_most_workers_are_drawn_beside_other_pictures() -> None:
    run = run_of(LOST, replace(LOST, workers=8))
    counts = [len(picture.panels) for every in (True, False) if (picture := bytes_by_writer(run, every=every))]
    assert counts == [2, 1]


@pytest.mark.parametrize(
    "case",
    [
        UNLOCKED,
        held(2),
        replace(LOST, recording=replace(counted([], 0), damage=FOUND)),
        replace(LOST, recording=replace(counted([(0, 0, STORE, 1, 2, b"a")], 0), damage=FOUND, blocks_left_out=1)),
    ],
    ids=["not recorded", "not damaged", "nothing stored", "not known whole"],
)
def test_there_is_no_picture_of_what_is_not_known(case: Case) -> None:
    assert bytes_by_writer(run_of(case)) is None
