"""How much a clean race would have to show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.model.statistics import detection_power
from lab.pytest_plugin.shortfall import requests_for, rounds_for, seconds_for
from tests.report.records import CLEAN


@pytest.mark.parametrize("rate", [0.5, 0.1, 1e-3, 1e-6])
def test_the_requests_that_a_rate_takes_are_just_enough_to_notice_it(rate: float) -> None:
    needed = requests_for(rate)
    assert (detection_power(needed) or 1) <= rate < (detection_power(needed - 1) or 1)


def test_rounds_and_seconds_grow_with_what_is_missing() -> None:
    assert rounds_for(CLEAN, 1e-3) == 29_950
    assert seconds_for(CLEAN, 1e-3, 2.0) == pytest.approx(2.0 * 29.95 * 1.2)


def test_where_nobody_met_nothing_can_be_said() -> None:
    alone = replace(CLEAN, contended_requests=0)
    assert (rounds_for(alone, 1e-3), seconds_for(alone, 1e-3, 2.0)) == (0, 0.0)
