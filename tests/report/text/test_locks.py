from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lab import records as results
from lab.analysis.statistics import joined
from lab.errors import UsageError
from lab.records import LockCell, LockSurvey
from lab.report.format import PLAIN, Style
from lab.report.text.locks import COLOURS, advice, complaints, exit_code, survey, text_of
from lab.survey import needs_of
from tests.report.chosen_records import NAMES, RUN, cells, compared

BOTH = compared(cells("one"), cells("another", 2.5e6, threads="no", order="polls"))


def claiming(value: str, claimed: str) -> LockSurvey:
    (first, *rest) = cells("one")
    return compared([replace(first, value=value, claimed=claimed, ok=value == claimed, reason="why"), *rest])


def table(run: LockSurvey, style: Style = PLAIN) -> list[list[str]]:
    """The words of each row of the table."""
    return [line.split() for line in survey(run).render(style).splitlines()]


def test_the_table_has_a_row_a_lock_with_its_words_and_its_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert table(BOTH)[0] == ["lock", "processes", "threads", "readers", "ranges", "kill", "pair"]
    assert table(BOTH)[5] == ["lock", "hand-over"]
    monkeypatch.setenv("COLUMNS", "200")
    head, _, one, another = table(BOTH)
    assert head == ["lock", *NAMES]
    assert one == ["one", *["yes"] * 16, "fifo", "1.0", "us", "1.0", "us"]
    assert another == ["another", "yes", "no", *["yes"] * 14, "polls", "2.5", "ms", "2.5", "ms"]


def test_for_a_program_the_table_has_the_properties_names_and_nanoseconds() -> None:
    one, another = csv.DictReader(text_of(BOTH, Style("csv")).splitlines())
    assert (one["lock"], one["threads"], one["pair_ns"], one["detection_limit"]) == ("one", "yes", "1000.0", "0.001")
    assert (another["threads"], another["order"], another["hand_over_ns"]) == ("no", "polls", "2500000.0")
    assert another["as_claimed"] == "True"


ABLE, ALONE = cells("able", fork="no"), cells("alone", threads="no", order="polls", kill="both", fork="no")
NEEDING = {
    ("threads", "kill"): ("alone lacks threads and kill (both)", "able (1.0 us alone, 1.0 us handed over) has all", 0),
    ("ranges",): ("", "able (1.0 us alone, 1.0 us handed over) and alone (1.0 us alone", 0),
    ("order", "fork"): ("able lacks fork alone lacks order (polls) and fork", "No lock here has all that is needed", 3),
}


@pytest.mark.parametrize("needs", NEEDING)
def test_what_is_needed_names_the_locks_that_are_left_and_what_the_others_lack(needs: tuple[str, ...]) -> None:
    lacks, last, code = NEEDING[needs]
    run = replace(compared(ABLE, ALONE, cells("none", processes="no")), needs=list(needs))
    *_, others, conclusion = text_of(run).split("\n\n")
    assert " ".join(others.split()).startswith(lacks)
    assert "none lacks processes" in " ".join(others.split())
    assert conclusion.startswith(last)
    assert f"({joined(needs)})" in " ".join(conclusion.split())
    assert exit_code(run) == code
    assert {*needs, "processes", "pair"} <= set(table(run)[0])
    assert "close" not in table(run)[0]


def test_an_unknown_need_gives_the_nearest_and_a_cost_is_none() -> None:
    assert needs_of(["kill", "order", "kill"]) == ["kill", "order"]
    for name, nearest in (("thread", "did you mean threads"), ("pair", "unknown need 'pair'")):
        with pytest.raises(UsageError, match=nearest):
            needs_of([name])


def test_under_the_table_stands_how_each_column_is_seen_and_how_to_choose() -> None:
    text = text_of(BOTH)
    assert [name for name in NAMES if f"how {name} is seen" in text] == table(BOTH)[0][1:]
    assert "--wide also shows " in text
    assert all(f"how {name} is seen" in text_of(BOTH, Style(wide=True)) for name in NAMES)
    assert "Threads, or several opens of the file in one process: one." in text


def test_of_one_lock_each_cell_is_told_with_its_calls() -> None:
    text = text_of(compared(cells("one", close="no")))
    assert "one: the lock one" in text
    (told,) = [part for part in text.split("\n\n") if part.startswith("close")]
    assert told.splitlines() == [
        "close      no        how close is seen",
        "    A             locks    granted",
        "    A, its child  unlocks  ok",
    ]
    assert "how to choose" not in text


def test_a_cell_that_is_not_as_the_lock_claims_is_marked_complained_of_and_ends_with_1() -> None:
    run = claiming("no", "yes")
    both = compared(cells("another"), run.cells)
    assert table(both)[3][:2] == ["one", "!no"]
    assert "2 locks: NOT AS CLAIMED: one (processes)." in text_of(both)
    assert "2 locks: each does what it claims of itself." in text_of(BOTH)
    assert "the lock claims yes" in text_of(run)
    assert list(complaints(run)) == ["lock one: processes: claims yes, seen here: no: why"]
    assert exit_code(run) == 1


def test_a_cell_that_was_not_found_out_is_complained_of_once_and_ends_with_3() -> None:
    first, second, *rest = cells("one")
    unknown = replace(first, value="?", reason="nobody answers")
    run = compared([unknown, replace(second, value="?", run=[]), *rest])
    assert list(complaints(run)) == ["lock one: processes: inconclusive: nobody answers"]
    assert exit_code(run) == 3


def test_where_all_is_as_claimed_there_is_nothing_to_complain_of() -> None:
    assert (list(complaints(BOTH)), exit_code(BOTH), exit_code(claiming("yes", "yes"))) == ([], 0, 0)


def test_a_lock_that_is_not_to_be_had_is_told_below_and_has_no_row() -> None:
    text = text_of(compared(cells("one"), cells("another"), trouble="lock missing: needs a package"))
    assert "not here\n  lock missing: needs a package" in text
    assert len(re.findall("missing", text)) == 1
    nothing = compared(trouble="lock missing: needs a package")
    assert "lock missing" in text_of(nothing)
    assert exit_code(nothing) == 3


def advised(*some: list[LockCell]) -> list[str]:
    return list(advice(compared(*some)))


def test_advice_names_those_that_fit_or_the_fewer_that_do_not() -> None:
    able, unable, none = cells("able"), cells("unable", 500.0, close="no", kill="no"), cells("none", processes="no")
    lines = advised(able, cells("other", kill="no"), unable, none)
    assert "Code that knows nothing of the lock opens and closes the file: all but unable." in lines
    assert "A holder may be killed: able." in lines
    assert "Readers beside each other: all of these." in lines
    assert "Cheapest: unable 500 ns, able 1.0 us, other 1.0 us alone; " in lines[-1]
    assert "Parts of one file locked apart: none of these." in advised(cells("able", ranges="no"))


@pytest.mark.parametrize("changed", [{"kill": "both"}, {"pause": "no"}, {"pause": "?"}, {"processes": "yes"}])
def test_what_was_not_shown_to_exclude_is_not_called_cheap(changed: dict[str, str]) -> None:
    weak = cells("weak", 1.0, **changed)
    if "processes" in changed:
        weak[0] = replace(weak[0], detection_limit=0.3)
    *_, shown, cheap = advised(cells("able"), weak)
    assert shown == "Not shown to exclude well enough to be called cheap: weak."
    assert cheap == "Cheapest: able 1.0 us alone; able 1.0 us handed over."
    assert "Cheapest: none of these alone" in advised(weak)[-1]


def test_under_the_table_stands_how_strong_a_yes_is() -> None:
    text = " ".join(text_of(BOTH).split())
    assert "would have been noticed, 95 %: one 1 in 1,000, another 1 in 1,000." in text


def test_a_document_of_a_lab_without_a_column_is_still_printed() -> None:
    old = replace(BOTH, cells=[each for each in BOTH.cells if each.property not in ("pause", "child")])
    old = replace(old, properties=[each for each in old.properties if each.name not in ("pause", "child")])
    assert "how to choose" in text_of(old)


def test_advice_says_of_which_locks_nothing_is_known() -> None:
    stuck, slow = ([replace(cell, value="?") for cell in cells(name)] for name in ("stuck", "slow"))
    first, *rest = advised(cells("able"), stuck, slow)
    assert first == "Of stuck, slow nothing is known; what follows is about the others."
    assert "Readers beside each other: all of these." in rest
    assert not any("nothing is known" in line for line in advised(cells("able"), cells("none", processes="no")))


def test_where_no_lock_keeps_a_process_out_there_is_no_advice() -> None:
    assert advised(cells("none", processes="no")) == ["None of these keeps another process out."]


def test_only_words_in_cells_are_coloured() -> None:
    found = [bool(re.search(pattern, "one  yes  no  !no")) for pattern in COLOURS]
    assert found == [True, True, True, False]
    assert not any(re.search(pattern, "Who polls has no order; yes, or no!") for pattern in COLOURS)


def test_the_document_comes_back_as_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(results.encode(BOTH))
    assert results.load_any(path) == BOTH
    assert BOTH.cells[0].run == RUN
