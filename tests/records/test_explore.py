from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import records as results
from lab.errors import UsageError
from lab.records import Document
from tests.report.explored_records import BROKEN, DIVERGED, HOLDS, REPRODUCED, UNKNOWN, exploration_of
from tests.report.records import DAMAGED, run_of

EXPLORATION = exploration_of(BROKEN, HOLDS, UNKNOWN)
EXPLAINED = run_of(replace(DAMAGED, explanation=BROKEN))
DOCUMENTS = {
    "explore": EXPLORATION,
    "replay": REPRODUCED,
    "diverged": DIVERGED,
    "race": run_of(DAMAGED),
    "race explained": EXPLAINED,
}

each_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())


@each_document
def test_every_document_comes_back_as_what_it_was(document: Document, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(results.encode(document))
    assert results.load_any(path) == document


@pytest.mark.parametrize(("document", "command"), [(EXPLORATION, "explore"), (REPRODUCED, "replay")])
def test_where_a_race_is_wanted_the_document_of_another_command_is_refused(
    document: Document, command: str, tmp_path: Path
) -> None:
    path = tmp_path / "document.json"
    path.write_bytes(results.encode(document))
    with pytest.raises(UsageError) as raised:
        results.load(path)
    assert str(raised.value) == f"{path}: is a document of `{command}`, not of `race`; give another"


def test_an_exploration_has_every_field_that_was_guaranteed() -> None:
    whole = json.loads(results.encode(EXPLORATION))
    assert next(iter(whole)) == "schema"
    assert whole.keys() >= {"schema", "environment", "options", "cases"}
    assert whole["cases"][0].keys() >= {
        "scenario", "lock", "workers", "rounds", "search", "verdict", "exhausted", "schedules", "preemptions", "damage",
        "steps", "token", "schedules_per_s",
    }  # fmt: skip
    assert whole["cases"][0]["steps"][0].keys() >= {"worker", "operation", "field", "value"}


def test_what_does_not_apply_is_null() -> None:
    holds = json.loads(results.encode(exploration_of(HOLDS)))["cases"][0]
    assert (holds["preemptions"], holds["token"], holds["shrunk"]) == (None, None, None)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("verdict", "fine", "$.cases[0].verdict"),
        ("steps", [{"worker": 0}], "$.cases[0].steps[0]"),
        ("exhausted", "yes", "$.cases[0].exhausted"),
    ],
)
def test_an_exploration_of_another_shape_is_told_with_the_place(
    place: str, value: Any, said: str, tmp_path: Path
) -> None:
    whole = json.loads(results.encode(EXPLORATION))
    whole["cases"][0][place] = value
    path = tmp_path / "document.json"
    path.write_text(json.dumps(whole))
    with pytest.raises(UsageError) as raised:
        results.load_any(path)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("verdict", "expected", "fine"),
    [
        ("holds", "holds", True),
        ("holds", "broken", True),
        ("broken", "broken", True),
        ("broken", "holds", False),
        ("unknown", "holds", False),
        ("unknown", "broken", False),
    ],
)
def test_only_what_was_found_out_and_announced_is_as_expected(verdict: Any, expected: Any, fine: bool) -> None:
    assert replace(HOLDS, verdict=verdict, expected=expected).as_expected is fine
