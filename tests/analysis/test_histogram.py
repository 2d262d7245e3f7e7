from __future__ import annotations

import pytest

from lab.analysis.statistics import BUCKETS, LONGEST_NS, begins_ns, bucket


def test_every_bucket_begins_where_the_one_before_ends() -> None:
    for number in range(1, BUCKETS):
        assert (bucket(begins_ns(number) - 1), bucket(begins_ns(number))) == (number - 1, number)


def test_short_times_are_kept_exactly_and_long_ones_to_one_in_128() -> None:
    widths = [begins_ns(number + 1) - begins_ns(number) for number in range(BUCKETS - 1)]
    assert widths[:256] == [1] * 256
    assert all(128 * width <= begins_ns(number) for number, width in enumerate(widths) if number >= 256)


@pytest.mark.parametrize("time_ns", [LONGEST_NS, LONGEST_NS + 1, 1 << 63])
def test_what_takes_too_long_counts_as_the_longest(time_ns: int) -> None:
    assert bucket(time_ns) == BUCKETS - 1
