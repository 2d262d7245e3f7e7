from __future__ import annotations

import pytest
from tabulate import tabulate_formats

from lab.errors import UsageError
from lab.report.format import DATA_FORMATS, DEFAULT_FORMAT, PLAIN, Column, Style, Table, check_format, wrapped


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


Fruit = tuple[str, int]
COLUMNS: list[Column[Fruit]] = [
    Column("name", lambda row: row[0], {"name": lambda row: row[0]}, left=True, key=True),
    Column("weight", lambda row: f"{row[1]:,} g", {"weight_g": lambda row: row[1]}),
    Column("", data={"heavy": lambda row: row[1] > 1000}),
    Column("story", lambda row: f"{row[0]} is a fruit", {"story": lambda _: None}, left=True, fold=8),
    Column("origin", lambda _: "a garden out there in the country", wide=True, left=True),
]
FRUIT = Table(COLUMNS, [("apple", 150), ("watermelon", 4000)])


def shown(width: int, monkeypatch: pytest.MonkeyPatch, style: Style = PLAIN, table: Table[Fruit] = FRUIT) -> list[str]:
    monkeypatch.setenv("COLUMNS", f"{width}")
    return table.render(style).splitlines()


def test_the_important_columns_are_shown_and_the_wide_ones_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(60, monkeypatch)[0].split() == ["name", "weight", "story"]
    assert shown(80, monkeypatch)[0].split() == ["name", "weight", "story", "origin"]
    assert "origin" in " ".join(shown(60, monkeypatch, Style(wide=True)))


def test_a_narrow_table_folds_the_column_that_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(40, monkeypatch)
    assert lines[-2:] == ["watermelon  4,000 g  watermelon is a", "                     fruit"]
    assert max(map(len, lines)) <= 40


def test_what_does_not_fit_is_shown_in_parts_which_begin_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = "\n".join(shown(45, monkeypatch, Style(wide=True))).split("\n\n")
    assert [part.split("\n")[0].split() for part in (first, second)] == [
        ["name", "weight", "story"],
        ["name", "origin"],
    ]
    assert max(map(len, [*first.splitlines(), *second.splitlines()])) <= 45


def test_a_program_gets_plain_values_of_all_columns_under_names_with_units() -> None:
    assert FRUIT.render(Style("csv")).splitlines() == [
        "name,weight_g,heavy,story",
        "apple,150,False,",
        "watermelon,4000,True,",
    ]


def test_other_formats_have_the_important_columns_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(40, monkeypatch, Style("github"))[2].count("|") == 4
    assert shown(40, monkeypatch, Style("github", wide=True))[2].count("|") == 5


def test_a_table_without_rows_has_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(80, monkeypatch, table=Table(COLUMNS, []))[0].split() == ["name", "weight", "story", "origin"]
