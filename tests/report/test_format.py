from __future__ import annotations

import pytest
from tabulate import tabulate_formats

from lab.errors import UsageError
from lab.report.format import DATA_FORMATS, DEFAULT_FORMAT, check_format, wrapped


@pytest.mark.parametrize("name", [DEFAULT_FORMAT, *tabulate_formats, *DATA_FORMATS])
def test_every_format_of_tabulate_and_of_the_lab_is_known(name: str) -> None:
    check_format(name)


def test_the_usual_format_is_one_that_tabulate_has() -> None:
    """It is not looked up when it is asked for."""
    assert DEFAULT_FORMAT in tabulate_formats


@pytest.mark.parametrize(("name", "nearest"), [("gitub", "github"), ("cvs", "csv"), ("latx", "latex")])
def test_an_unknown_format_gives_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"unknown format '{name}'; did you mean {nearest}"):
        check_format(name)


def test_a_format_like_no_other_gives_them_all() -> None:
    with pytest.raises(UsageError, match=r"known: .*github.*csv"):
        check_format("0000")


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("60", 60), ("90", 90), ("300", 100), ("1", 40)])
def test_sentences_are_as_wide_as_the_terminal_within_limits(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = wrapped("a " * 200).splitlines()
    assert max(map(len, lines)) in (width, width - 1)
