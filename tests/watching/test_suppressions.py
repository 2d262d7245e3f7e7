"""Suppressions: which accesses each form leaves out, what is no suppression, and that unused ones are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.analysis.watched import Event, Kind
from lab.errors import UsageError
from lab.watching.suppressions import shipped, suppressions, unused


def access(kind: Kind, start: int, end: int) -> Event:
    return Event(0, 0, kind, 0, start, end, 3, 0, 0, 0, 0, 1, (0, 0), 1)


STACK = ["peek_header", "open_file", "main"]


@pytest.mark.parametrize(
    ("line", "kind", "start", "end", "covered"),
    [
        ("reads 0-99 *.db", Kind.READ, 0, 100, True),
        ("reads 0-99 *.db", Kind.READ, 0, 101, False),
        ("reads 0-99 *.db", Kind.WRITE, 0, 8, False),
        ("accesses all *.db", Kind.WRITE, 5000, 6000, True),
        ("accesses all *.db", Kind.LOAD, 5000, 5008, True),
        ("accesses all *.db function:peek_*", Kind.READ, 0, 4, True),
        ("accesses all *.db function:flush", Kind.READ, 0, 4, False),
        ("function:open_file", Kind.WRITE, 0, 4, True),
        ("function:open", Kind.WRITE, 0, 4, False),
    ],
)
def test_what_a_line_leaves_out(line: str, kind: Kind, start: int, end: int, covered: bool) -> None:
    (rule,) = suppressions([line])
    assert rule.names("/data/some.db")
    assert rule.covers(access(kind, start, end), lambda _: STACK) == covered
    assert unused([rule]) == ([] if covered else [line])


@pytest.mark.parametrize("line", ["reads", "reads 0-99", "looks 0-99 *", "reads 9-0 *", "reads x *", "reads 1 * *"])
def test_what_is_none_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "some.supp"
    path.write_text(f"# why\n{line}\n")
    with pytest.raises(UsageError, match="line 2: give such as reads 0-99"):
        suppressions([str(path)])


def test_a_file_that_is_not_there_is_named_with_the_names_that_are_known() -> None:
    with pytest.raises(UsageError, match="known: lmdb, sqlite, tdb"):
        suppressions(["sqlight"])


def test_each_line_that_ships_says_why_and_an_unused_library_is_told_by_its_name() -> None:
    for name, path in shipped().items():
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert all(line.partition("#")[2].strip() for line in lines), path
        assert len(suppressions([name])) == len(lines)
        assert unused(suppressions([name])) == [name]


def test_a_used_line_of_a_library_stands_for_all_of_them() -> None:
    rules = suppressions(["lmdb"])
    assert rules[0].covers(access(Kind.LOAD, 0, 8), lambda _: [])
    assert unused(rules) == []
