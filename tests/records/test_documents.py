from __future__ import annotations

import ast
import json
from dataclasses import FrozenInstanceError, replace
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import records as results
from lab.commands import COMMANDS
from lab.errors import UsageError
from lab.records import Case, Cpu, Damage, Failure, Quantiles, Run, Switches, Trial
from tests.golden import Golden
from tests.helpers import ROOT
from tests.report.records import ENVIRONMENT, OPTIONS

CASE = Case(
    scenario="counter",
    lock="fcntl",
    backing="mapped",
    workers=4,
    rounds=1000,
    pin="none",
    trials=2,
    operations=8000,
    damaged=3,
    damage=[
        Damage(kind="lost update", count=3, of=8000, evidence=["value is 7,997, où est 8,000", "off by [1, -2, 3]"])
    ],
    overlapping_holds=1,
    overlaps=["worker 1 was granted write 0-7 while worker 0 held write 0-7: 5 ns together"],
    corruption_rate=3 / 8000,
    damaged_trials=1,
    interval_95=(0.012, 0.987),
    holds=8000,
    contended_requests=100,
    detection_limit=0.0295,
    wall_s=0.5,
    operations_per_s=16_000.0,
    wait_ns=Quantiles(p50=1, p99=2, max=3),
    hold_ns=Quantiles(p50=4, p99=5, max=6),
    fairness=0.99,
    cpu_s=Cpu(user=0.25, system=0.125),
    context_switches=Switches(voluntary=7, involuntary=8),
    verdict="damaged",
    expected="clean",
    reason="conflicting holds overlapped, 1 time, and the data broke",
    failures=[Failure(trial=1, worker=2, round=3, how="raised", reason="raised ValueError", trace="Traceback")],
    trial_samples=[
        Trial(wall_ns=250, operations=4000, damaged=3, holds=4000, contended=50, overlapping_holds=1, completed=True)
    ],
    wait_samples_ns=[1, 2, 3],
    hold_samples_ns=[4, 5, 6],
)
RUN = Run(
    schema=results.SCHEMA,
    started="2026-01-01T00:00:00+00:00",
    wall_s=1.5,
    interrupted=False,
    environment=replace(ENVIRONMENT, cpus=2, cpus_allowed=2),
    options=replace(OPTIONS, workers=[4], rounds=None, directory="/tmp", seed=1),  # noqa: S108
    cases=[CASE],
)
ENCODED = results.encode(RUN)


def document(**changes: object) -> bytes:
    """The document with other fields at its top; None takes a field out."""
    whole = {**json.loads(ENCODED), **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def refusal(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        results.load(path)
    assert raised.value.exit_code == 2
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results") / "run.json"


def test_a_run_comes_back_from_its_document(path: Path) -> None:
    path.write_bytes(ENCODED)
    assert results.load(path) == RUN
    assert ENCODED.startswith(b'{\n "schema": 2,\n')
    assert ENCODED.endswith(b"}\n")
    path.write_bytes(document(later="a field that is new"))
    assert results.load(path) == RUN


def test_a_name_that_is_no_text_does_not_keep_a_run_from_its_document(path: Path) -> None:
    """Linux names files with bytes; Python gives those that are not UTF-8 as lone surrogates (PEP 383)."""
    path.write_bytes(results.encode(replace(RUN, started="race --dir /mnt/caf\udce9")))
    assert results.load(path) == replace(RUN, started="race --dir /mnt/caf?")


def test_the_document_names_its_schema_first_and_every_field_of_the_issue() -> None:
    whole = json.loads(ENCODED)
    assert next(iter(whole)) == "schema"
    assert whole.keys() >= {"schema", "environment", "options", "cases"}
    assert whole["cases"][0].keys() >= {
        "scenario", "lock", "backing", "workers", "rounds", "trials", "operations", "damaged", "damage",
        "overlapping_holds", "corruption_rate", "damaged_trials", "interval_95", "detection_limit", "wall_s",
        "operations_per_s", "wait_ns", "hold_ns", "fairness", "cpu_s", "context_switches", "verdict", "reason",
    }  # fmt: skip
    assert whole["cases"][0]["wait_ns"].keys() == {"p50", "p99", "max"}


@pytest.mark.slow
def test_a_document_cut_short_anywhere_is_told_as_that(path: Path) -> None:
    whole = ENCODED.rstrip()
    cuts = {refusal(whole[:length], path).partition(": ")[2] for length in range(len(whole))}
    assert cuts == {"is cut short; make it again with `lab race`"}


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        results.load(tmp_path / name)


@given(content=st.binary(max_size=40))
def test_no_content_brings_anything_but_a_usage_error(content: bytes, path: Path) -> None:
    refusal(content, path)


@pytest.mark.parametrize("command", [name for name, command in COMMANDS.items() if command.document])
def test_the_published_schema_is_that_of_the_records(command: str, golden: Golden) -> None:
    name = "results" if command == "race" else command
    golden(ROOT / "docs" / f"{name}.schema.json", json.dumps(results.json_schema(command), indent=2) + "\n")


def test_the_reference_run_is_a_document_as_the_lab_writes_it(golden: Golden) -> None:
    reference = ROOT / "results" / "reference.json"
    golden(reference, results.encode(results.load(reference)).decode())


def test_every_record_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        CASE.damaged = 0  # type: ignore[misc]


UNKNOWN_SHAPE = "in a shape that this lab does not know"
NO_DOCUMENTS = {
    b"scenario,lock\ncounter,fcntl\n": "is not JSON (",
    **dict.fromkeys(
        (b"[1, 2]", b"7", b"null", b"{}", b'{"schema": "1"}', b'{"schema": true}'), "no results file of the lab"
    ),
    document(schema=3, cases=UNKNOWN_SHAPE): "is of schema 3, newer than this lab reads (2); update the lab",
    document(schema=1, cases=UNKNOWN_SHAPE): "is of schema 1, older than this lab reads (2); make it again",
    document(cases=[{}]): "does not fit schema 2 (Object missing required field `scenario` - at `$.cases[0]`)",
    document(cases=None): "does not fit schema 2 (Object missing required field `cases`)",
    document(wall_s="1"): "does not fit schema 2 (Expected `float`, got `str` - at `$.wall_s`)",
    ENCODED.replace(b'"verdict": "damaged"', b'"verdict": "fine"'): "$.cases[0].verdict",
    **dict.fromkeys((b"[" * 100_000, b'{"a":' * 100_000, b'"\xff"', b'"\\ud800"'), ""),
}


@pytest.mark.parametrize("content", NO_DOCUMENTS, ids=lambda content: str(content[:20]))
def test_what_is_no_document_of_this_schema_is_told_with_the_place(content: bytes, path: Path) -> None:
    assert NO_DOCUMENTS[content] in refusal(content, path)


@pytest.mark.parametrize(
    ("verdict", "expected", "overlaps", "allowed", "fine"),
    [
        ("clean", "clean", 0, False, True),
        ("damaged", "clean", 0, False, False),
        ("damaged", "damaged", 0, False, True),
        ("clean", "damaged", 0, False, True),
        ("timeout", "damaged", 0, False, False),
        ("timeout", "timeout", 0, False, True),
        ("died", "clean", 0, False, False),
        ("unsupported", "clean", 0, False, False),
        ("damaged", "damaged", 3, False, False),
        ("damaged", "damaged", 3, True, True),
    ],
)
def test_what_was_announced_and_what_stayed_away_is_as_expected_and_overlaps_only_where_allowed(
    verdict: results.Verdict, expected: str, overlaps: int, allowed: bool, fine: bool
) -> None:
    case = replace(CASE, verdict=verdict, expected=expected, overlapping_holds=overlaps, allows_overlaps=allowed)
    assert case.as_expected is fine


def test_each_name_of_the_records_is_found_where_a_type_checker_finds_it() -> None:
    tree = ast.parse(Path(results.__file__).read_text())
    said = {
        alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    del said["annotations"], said["import_module"]
    assert said == results._PLACES
    for name, module in said.items():
        assert getattr(results, name) is getattr(import_module(f"lab.records.{module}"), name)
