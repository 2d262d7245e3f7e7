"""Workers that give way meet at the lock on one processor too, and break what no lock protects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.pytest_plugin.giving import giving_way
from lab.race import cases_of
from lab.race.matrix import run_case
from lab.results import Options
from lab.scenario import find_scenarios
from tests.helpers import in_fresh_process

OPTIONS = Options(
    scenarios=[],
    locks=[],
    workers=[4],
    rounds=300,
    trials=1,
    directory="",
    seed=0,
    pin="one",
    window_ns=0,
    leak=0.0,
    time_limit_s=30.0,
)


def raced(lock: str, folder: str) -> dict[str, Any]:
    (case,) = cases_of(find_scenarios(["counter"]), replace(OPTIONS, locks=[lock]))
    row = run_case(giving_way(case), 5, [Path(folder)])
    return {"verdict": row.verdict, "contended": row.contended_requests, "of": row.operations, "pin": row.pin}


@pytest.mark.parametrize("lock", ["fcntl", "flock"])
def test_requests_meet_a_holder(tmp_path: Path, lock: str) -> None:
    row = in_fresh_process(raced, lock, str(tmp_path))
    assert (row["verdict"], row["of"], row["pin"]) == ("clean", 6000, "one")
    assert row["contended"] > 900, "without giving way it is less than one in a hundred"


def test_without_a_lock_the_data_break(tmp_path: Path) -> None:
    assert in_fresh_process(raced, "none", str(tmp_path))["verdict"] == "damaged"
