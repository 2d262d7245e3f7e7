from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from lab.records import Distribution, Holds
from lab.report.plots.figure import Drawable, draw, left_out, pictures, sheet
from lab.report.plots.style import words
from tests.report.page.recordings import LOST, held
from tests.report.plots_records import alone, bench_of, queue
from tests.report.records import run_of

pytestmark = pytest.mark.slow

BENCH = bench_of(alone("fcntl", 1000), queue("fcntl", 2, 2000), queue("ofd", 2, 1500, ranges="disjoint"))


def as_file(document: Drawable, kind: str = "svg") -> bytes:
    return draw(document, list(pictures(document).values()), kind)


def test_each_kind_of_document_has_its_pictures() -> None:
    assert list(pictures(BENCH)) == ["scaling", "waits", "holds"]
    assert list(pictures(run_of(held(3), LOST))) == ["holds", "bytes"]
    empty = queue("fcntl", 2, 1000, distribution=Distribution(), holds=Holds())
    assert list(pictures(bench_of(empty))) == ["scaling"]
    assert pictures(bench_of()) == {}


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_file_is_the_same_whenever_it_is_drawn_and_has_no_date_and_no_path(kind: str, begins: bytes) -> None:
    document: Drawable = BENCH if kind == "svg" else run_of(LOST)
    content = as_file(document, kind)
    assert content.startswith(begins)
    assert as_file(document, kind) == content
    if kind == "svg":
        assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own
        assert b"dc:date" not in content
        assert b"/mnt/secret" not in content


def test_each_picture_has_its_heading_and_one_legend_and_the_small_print_tells_where_and_when() -> None:
    parts = sheet(BENCH, list(pictures(BENCH).values())).subfigs
    assert [part.get_suptitle() for part in parts] == [
        "Pairs of lock and unlock a second, all workers together",
        "How long a lock is waited for, by percentile",
        "Who held the lock, and who waited for it",
        "",
    ]
    legends = [[text.get_text() for part in each.legends for text in part.get_texts()] for each in parts]
    assert legends == [["fcntl", "ofd, disjoint"], ["fcntl", "ofd, disjoint"], ["waiting", "holding"], []]
    (small,) = parts[-1].texts
    assert small.get_text().split(" | ") == [
        "Linux 6.18", "x86_64", "some", "1 CPU", "ext4", "CPython 3.11.7", "lab 0.1.0 (compiled)", "2026-01-01",
    ]  # fmt: skip


def test_names_may_be_any() -> None:
    odd = ["$x_{$", "\u6f22\u5b57", "a\nb\x00", "_hidden", "z" * 300, "<&\"'>--", "\ud800"]
    run = bench_of(*(queue(lock, 2, 1000) for lock in odd))
    ElementTree.fromstring(as_file(run))  # noqa: S314 - our own


def test_a_lock_whose_name_begins_with_an_underscore_is_in_the_legend() -> None:
    bench = bench_of(queue("_hidden", 2, 1000))
    (part, *_) = sheet(bench, list(pictures(bench).values())).subfigs
    assert [text.get_text() for legend in part.legends for text in legend.get_texts()] == [" _hidden"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/srv/my project/locks.py:Mine queue", "locks.py:Mine queue"),
        ("~/locks.py:Mine, /a/b.py", "locks.py:Mine, b.py"),
        ("read/write", "read/write"),
        ("", "?"),
    ],
)
def test_no_folders_are_told(name: str, shown: str) -> None:
    assert words(name, 60) == shown


def test_cases_without_figures_are_left_out_and_the_reason_is_told() -> None:
    bench = bench_of(queue("fcntl", 2, 1000), queue("ofd", 4, 0.0, reason="refused on /mnt"))
    assert left_out(bench) == ["ofd queue, 4 workers: left out: refused on /mnt"]
    assert [len(picture.panels) for picture in pictures(bench).values()] == [1, 1, 1]
    assert left_out(run_of(LOST)) == []


def test_a_race_of_many_damaged_cases_is_higher() -> None:
    one, two = (run_of(*[replace(LOST, workers=count) for count in counts]) for counts in ((2,), (2, 3)))
    heights = [sheet(run, list(pictures(run).values())).get_figheight() for run in (one, two)]
    assert heights[1] > heights[0]


def test_forty_long_names_have_room_in_the_legend() -> None:
    names = [f"{number} {'a long name ' * 4}" for number in range(40)]
    bench = bench_of(*(queue(name, 2, 1000, holds=Holds()) for name in names))
    figure = sheet(bench, list(pictures(bench).values()))
    figure.draw_without_rendering()
    for part in figure.subfigs[:-1]:
        (legend,) = part.legends
        assert len(legend.get_texts()) == 40
        assert legend.get_window_extent().height <= part.bbox.height
