"""Count the times of many requests, so that a million of them fit, and sum them up as percentiles.

A histogram of fixed size keeps every time to 1/128. Its buckets are those of Gil Tene's HdrHistogram: of equal width
up to a power of two, twice as wide up to the next, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil

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


FRACTIONS = (0.5, 0.9, 0.99, 0.999, 1.0)
SCALED = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""

FAR = 3.0


class Latencies:
    """Times in ns: those that are known exactly, and those of which only the bucket is (`lab.analysis.latencies`)."""

    def __init__(self) -> None:
        self.exact: Counter[int] = Counter()
        self.buckets: Counter[int] = Counter()

    def add(self, other: Latencies) -> None:
        """Those of the other too."""
        self.exact.update(other.exact)
        self.buckets.update(other.buckets)

    @property
    def count(self) -> int:
        """Return how many there are."""
        return self.exact.total() + self.buckets.total()

    def percentiles(self) -> list[int]:
        """The 50th, 90th, 99th and 99.9th by nearest rank, and the largest; zeros where there are none."""
        known = Counter(self.exact)
        known.update({begins_ns(number): count for number, count in self.buckets.items()})
        return _ranked(known, FRACTIONS) if known else [0] * len(FRACTIONS)

    def distribution(self) -> dict[int, int]:
        """Return how many lie in each bucket that has any: by the smallest time of the bucket, in ascending order."""
        counts = Counter(self.buckets)
        for time_ns, count in self.exact.items():
            counts[bucket(time_ns)] += count
        return {begins_ns(number): counts[number] for number in sorted(counts)}


def _ranked(counts: Mapping[int, int], fractions: Iterable[float]) -> list[int]:
    ordered = sorted(counts.items())
    total = sum(counts.values())
    found: list[int] = []
    passed, at = 0, 0
    for fraction in fractions:
        while passed < max(1, ceil(fraction * total)):
            passed += ordered[at][1]
            at += 1
        found.append(ordered[at - 1][0])
    return found


def outliers(samples: Sequence[float]) -> list[int]:
    """The indexes of samples further than three scaled median absolute deviations from the median.

    Source: Leys et al., "Detecting outliers", Journal of Experimental Social Psychology 49 (2013). None where more
    than half of the samples are the same.
    """
    from statistics import median  # it imports random, which leaves a handler that every forked child would run

    middle = median(samples)
    scale = SCALED * median(abs(sample - middle) for sample in samples)
    return [at for at, sample in enumerate(samples) if scale and abs(sample - middle) > FAR * scale]
