from __future__ import annotations

import pytest

from lab.analysis.statistics import Latencies, bucket, outliers


def latencies(*exact: int, beyond: tuple[int, ...] = ()) -> Latencies:
    made = Latencies()
    made.exact.update(exact)
    made.buckets.update(map(bucket, beyond))
    return made


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([], [0] * 5),
        ([7], [7] * 5),
        ([30, 10, 20], [20, 30, 30, 30, 30]),
        (range(1, 1001), [500, 900, 990, 999, 1000]),
        ([1] * 999 + [50], [1, 1, 1, 1, 50]),
    ],
)
def test_percentiles_are_observed_values_by_nearest_rank(times: list[int], told: list[int]) -> None:
    assert latencies(*times).percentiles() == told


def test_a_time_of_which_only_the_bucket_is_known_counts_as_where_that_begins() -> None:
    both = latencies(10, 20, beyond=(1001, 5000))
    assert (both.count, both.percentiles()) == (4, [20, 4992, 4992, 4992, 4992])


def test_those_of_several_repeats_are_put_together() -> None:
    both = latencies(1, 1, beyond=(300,))
    both.add(latencies(1, 2, beyond=(300,)))
    assert (both.count, both.distribution()) == (6, {1: 3, 2: 1, 300: 2})


def test_exact_times_are_told_in_the_buckets_of_the_others() -> None:
    assert latencies(1000, 1003, beyond=(1001,)).distribution() == {1000: 3}


@pytest.mark.parametrize(
    ("samples", "far"),
    [
        ([10, 11, 9, 10.5, 30], [4]),
        ([2, 11, 9, 10.5, 10], [0]),
        ([10, 11, 9, 10.5, 12], []),
        ([10, 10, 10, 10, 30], []),
    ],
)
def test_an_outlier_lies_further_than_three_scaled_deviations_from_the_median(
    samples: list[float], far: list[int]
) -> None:
    assert outliers(samples) == far
