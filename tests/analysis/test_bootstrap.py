from statistics import StatisticsError

import pytest

from lab.analysis.statistics import median_interval


def test_the_interval_of_equal_samples_is_a_point() -> None:
    assert median_interval([7.0] * 9, seed="") == (7.0, 7.0)


def test_the_same_samples_and_seed_give_the_same_interval_and_another_seed_may_not() -> None:
    samples = [float(each * each % 101) for each in range(40)]
    assert median_interval(samples, seed="a") == median_interval(samples, seed="a")
    assert len({median_interval(samples, seed=str(seed), draws=50) for seed in range(20)}) > 1


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    from random import Random

    random = Random(5)
    covered = 0
    for trial in range(200):
        low, high = median_interval([random.gauss(0, 1) for _ in range(25)], seed=str(trial), draws=400)
        covered += low <= 0 <= high
    assert 180 <= covered <= 199


def test_more_samples_make_it_narrower() -> None:
    few, many = [float(each % 10) for each in range(10)], [float(each % 10) for each in range(1000)]
    widths = [high - low for low, high in (median_interval(each, seed="") for each in (few, many))]
    assert widths[1] < widths[0]


def test_no_samples_have_no_interval() -> None:
    with pytest.raises(StatisticsError):
        median_interval([], seed="")
