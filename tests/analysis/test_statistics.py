from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.statistics import clopper_pearson, detection_limit, jain_fairness, percentile

observations = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def at_most(k: int, n: int, p: Fraction) -> Fraction:
    """P(X <= k) of n draws at rate p, in exact arithmetic."""
    return sum((comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)), Fraction(0))


@pytest.mark.parametrize(
    ("damaged", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (3, 10, 0.0667, 0.6525),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        # Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17 (1998), method 5
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_the_interval_is_the_published_one(damaged: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(damaged, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("trials", [1, 10, 1_000, 20_000])
def test_the_bounds_of_no_damage_and_of_nothing_but_damage_are_the_closed_form(trials: int) -> None:
    tail = 0.025 ** (1 / trials)
    assert clopper_pearson(0, trials) == pytest.approx((0, 1 - tail), rel=1e-9, abs=0)
    assert clopper_pearson(trials, trials) == pytest.approx((tail, 1), rel=1e-9, abs=0)


def test_thousands_of_trials_do_not_underflow() -> None:
    low, high = clopper_pearson(2_500, 5_000)
    # the normal approximation, whose error is far below a thousandth at this size
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.5 / 5_000**0.5, 0.5 + 1.96 * 0.5 / 5_000**0.5), abs=2e-4)


@given(observations)
def test_each_bound_leaves_exactly_one_tail_of_a_fortieth(observation: tuple[int, int]) -> None:
    damaged, trials = observation
    low, high = clopper_pearson(damaged, trials)
    if damaged > 0:
        assert float(1 - at_most(damaged - 1, trials, Fraction(low))) == pytest.approx(0.025, rel=1e-6)
    if damaged < trials:
        assert float(at_most(damaged, trials, Fraction(high))) == pytest.approx(0.025, rel=1e-6)


@given(observations)
def test_the_interval_holds_the_observed_rate_is_mirrored_and_wider_with_more_confidence(
    observation: tuple[int, int],
) -> None:
    damaged, trials = observation
    low, high = clopper_pearson(damaged, trials)
    assert 0 <= low <= damaged / trials <= high <= 1
    assert clopper_pearson(trials - damaged, trials) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    wide_low, wide_high = clopper_pearson(*observation, confidence=0.99)
    assert wide_low <= low
    assert high <= wide_high
    assert wide_high - wide_low > high - low


@pytest.mark.parametrize(("damaged", "trials"), [(0, 0), (-1, 10), (11, 10), (0, -1)])
def test_an_impossible_observation_is_refused(damaged: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"{damaged} of {trials} trials"):
        clopper_pearson(damaged, trials)


@given(st.integers(1, 1_000_000))
def test_a_lie_of_the_detection_power_escapes_in_one_run_of_twenty(contended: int) -> None:
    power = detection_limit(contended)
    assert power is not None
    assert (1 - power) ** contended == pytest.approx(0.05, rel=1e-6)


def test_the_detection_power_of_no_of_one_and_of_many_requests() -> None:
    assert detection_limit(0) is None
    assert detection_limit(1) == pytest.approx(0.95)
    assert detection_limit(30_000) == pytest.approx(3 / 30_000, rel=2e-3)


@pytest.mark.parametrize(
    # the worked example of "Percentile" in Wikipedia, nearest-rank method; and the percentile of nothing
    ("fraction", "value"),
    [(0.05, 15), (0.3, 20), (0.4, 20), (0.5, 35), (1.0, 50), (0.0, 15)],
)
def test_the_percentile_is_the_published_nearest_rank(fraction: float, value: int) -> None:
    assert percentile([15, 20, 35, 40, 50], fraction) == value


@pytest.mark.parametrize("percent", [50, 99])
def test_the_rank_is_the_least_that_covers_the_fraction_at_every_length(percent: int) -> None:
    for length in range(1, 3_001):
        rank = -(-percent * length // 100)
        assert percentile(range(1, length + 1), percent / 100) == rank


@given(st.lists(st.integers(), min_size=1), st.floats(0, 1))
def test_a_percentile_is_an_observed_value(values: list[int], fraction: float) -> None:
    assert percentile(sorted(values), fraction) in values


@pytest.mark.parametrize(
    ("shares", "index"),
    [([7.0, 7.0, 7.0], 1.0), ([5.0, 0.0, 0.0, 0.0], 0.25), ([1.0, 2.0, 3.0], 36 / 42), ([0.0, 0.0], 1.0)],
)
def test_fairness_is_jains_index(shares: list[float], index: float) -> None:
    assert jain_fairness(shares) == pytest.approx(index)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50), st.floats(0.001, 1e6))
def test_fairness_lies_between_one_nth_and_one_whatever_the_unit(shares: list[float], unit: float) -> None:
    index = jain_fairness(shares)
    assert 1 / len(shares) <= index + 1e-9
    assert index <= 1 + 1e-9
    assert jain_fairness([share * unit for share in shares]) == pytest.approx(index)
