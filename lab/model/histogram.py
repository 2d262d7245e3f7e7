"""A histogram of fixed size that keeps every time to 1/128: the buckets of an HDR histogram.

Source: Gil Tene's HdrHistogram: buckets of equal width up to a power of two, twice as wide up to the next, and so on.
"""

from __future__ import annotations

PRECISION_BITS = 7
LONGEST_NS = (1 << 40) - 1
"""18 minutes; whatever takes longer counts as this."""


def bucket(time_ns: int) -> int:
    """The number of the bucket that a time in ns, 0 or more, falls into."""
    time_ns = min(time_ns, LONGEST_NS)
    shift = max(0, time_ns.bit_length() - PRECISION_BITS - 1)
    return (shift << PRECISION_BITS) + (time_ns >> shift)


def begins_ns(number: int) -> int:
    """The smallest time of a bucket, in ns."""
    shift = max(0, (number >> PRECISION_BITS) - 1)
    return number - (shift << PRECISION_BITS) << shift


BUCKETS = bucket(LONGEST_NS) + 1
