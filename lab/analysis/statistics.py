"""Compute the strength of a claim: exact intervals, detection limits, percentiles, fairness, medians.

`random` reseeds in every child, so a process that forks does not compute here how certain a median is.

The times of many requests are counted in a histogram, so that a million of them fit, and summarized as percentiles.
It has a fixed size and keeps every time to 1/128. Its buckets are those of Gil Tene's HdrHistogram: of equal width
up to a power of two, twice as wide up to the next, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil, exp, lgamma, log, log1p
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


def clopper_pearson(damaged: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a rate of which `damaged` of `trials` were seen.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the
    case of the binomial", Biometrika 26 (1934). Raises ValueError unless 0 <= damaged <= trials > 0.
    """
    if not 0 <= damaged <= trials or trials == 0:
        raise ValueError(f"{damaged} of {trials} trials is no observation")
    tail = (1 - confidence) / 2
    low = 0.0 if damaged == 0 else _solve(lambda p: 1 - _binomial_cdf(damaged - 1, trials, p), tail)
    high = 1.0 if damaged == trials else _solve(lambda p: -_binomial_cdf(damaged, trials, p), -tail)
    return low, high


def _solve(rising: Callable[[float], float], target: float) -> float:
    """Return the p in (0, 1) at which a rising function reaches its target, to the last bit by bisection."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if rising(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(X <= k) of n draws at rate p, summed in logarithms so that thousands of trials do not underflow."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if k >= n else 0.0
    choose = lgamma(n + 1)
    return sum(exp(choose - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log1p(-p)) for i in range(k + 1))


def detection_limit(contended: int, confidence: float = 0.95) -> float | None:
    """Return the detection limit: the smallest rate of false grants that would have been noticed with this confidence.

    `contended` requests arrived while a conflicting hold was in progress: each of them, granted falsely,
    would have overlapped that hold. All of n miss false grants of rate p with probability (1 - p) ** n. None when
    no request was contended: such a run would have noticed nothing.
    """
    return 1 - (1 - confidence) ** (1 / contended) if contended else None


def requests_for(rate: float, confidence: float = 0.95) -> int:
    """Return the number of requests that must meet a holder for false grants of this rate to be noticed.

    The inverse of `detection_limit`, with the same confidence; `rate` is above 0 and below 1.
    """
    return ceil(log(1 - confidence) / log1p(-rate))


def percentile(ordered: Sequence[int], fraction: float) -> int:
    """Return the nearest-rank percentile of a sorted sequence: an observed value, never a mean of two."""
    return ordered[max(0, ceil(fraction * len(ordered)) - 1)]


def jain_fairness(shares: Sequence[float]) -> float:
    """Return Jain's index: 1 when all got the same, 1/n when one got everything (DEC-TR-301, 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def median_interval(
    samples: Sequence[float], *, seed: str, confidence: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """Return the bootstrap interval of the median, by percentiles of the medians of `draws` samples with replacement.

    The same samples and seed give the same interval. Source: Efron, "Bootstrap methods: another look at the
    jackknife", Annals of Statistics 7 (1979). Raises StatisticsError for no samples.
    """
    from random import Random  # it leaves a handler that every forked child would run

    draw = _drawn_medians(samples, Random(seed))  # noqa: S311 - repeatable draws, not secrets
    return _middle([next(draw) for _ in range(draws)], confidence)


def ratio_interval(
    before: Sequence[float], after: Sequence[float], *, seed: str, confidence: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """Return the bootstrap interval of the ratio of two medians, `after` to `before`; both are drawn anew each time.

    Raises StatisticsError where either has no samples, ZeroDivisionError for samples of 0 before.
    """
    from random import Random

    random = Random(seed)  # noqa: S311 - repeatable draws, not secrets
    old, new = _drawn_medians(before, random), _drawn_medians(after, random)
    return _middle([next(new) / next(old) for _ in range(draws)], confidence)


def _drawn_medians(samples: Sequence[float], random: Random) -> Iterator[float]:
    from statistics import median  # it imports random too

    while True:
        yield median(random.choices(samples, k=len(samples)))


def _middle(values: list[float], confidence: float) -> tuple[float, float]:
    """Return the percentiles between which so many of the values lie."""
    tail = round((1 - confidence) / 2 * len(values))
    ordered = sorted(values)
    return ordered[tail], ordered[-1 - tail]


def rate(part: float) -> str:
    """Return a share as percent; a share above zero never reads as zero, one below all never as all."""
    percent = 100 * part
    if percent in (0, 100):
        return f"{percent:.0f} %"
    return f"{max(percent, 0.01):.2f} %" if percent < 1 else f"{min(percent, 99.9):.1f} %"


def one_in(power: float | None) -> str:
    """Return a detection limit as "1 in N", rounded so that it never claims more than was measured."""
    if power is None:
        return "-"
    many = int(1 / power)
    digits = max(0, len(str(many)) - 2)
    return f"1 in {many // 10**digits * 10**digits:,}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{ending}"


PRECISION_BITS = 7
LONGEST_NS = (1 << 40) - 1
"""The longest time, 18 minutes; a longer one counts as this."""


def bucket(time_ns: int) -> int:
    """Return the number of the bucket that a time in ns, 0 or more, falls into."""
    time_ns = min(time_ns, LONGEST_NS)
    shift = max(0, time_ns.bit_length() - PRECISION_BITS - 1)
    return (shift << PRECISION_BITS) + (time_ns >> shift)


def begins_ns(number: int) -> int:
    """Return the smallest time of a bucket, in ns."""
    shift = max(0, (number >> PRECISION_BITS) - 1)
    return number - (shift << PRECISION_BITS) << shift


BUCKETS = bucket(LONGEST_NS) + 1


FRACTIONS = (0.5, 0.9, 0.99, 0.999, 1.0)
SCALED = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""

FAR = 3.0


class Latencies:
    """Times in ns: those that are known exactly, and those of which only the bucket is (`lab.analysis.statistics`)."""

    def __init__(self) -> None:
        self.exact: Counter[int] = Counter()
        self.buckets: Counter[int] = Counter()

    def add(self, other: Latencies) -> None:
        """Add the times of the other too."""
        self.exact.update(other.exact)
        self.buckets.update(other.buckets)

    @property
    def count(self) -> int:
        """Return the number of times."""
        return self.exact.total() + self.buckets.total()

    def percentiles(self) -> list[int]:
        """Return the 50th, 90th, 99th and 99.9th by nearest rank, and the largest; zeros where there are none."""
        known = Counter(self.exact)
        known.update({begins_ns(number): count for number, count in self.buckets.items()})
        return _ranked(known, FRACTIONS) if known else [0] * len(FRACTIONS)

    def distribution(self) -> dict[int, int]:
        """Return the number of times in each bucket that has any, by the smallest time of the bucket, ascending."""
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
    """Return the indexes of samples further than three scaled median absolute deviations from the median.

    Source: Leys et al., "Detecting outliers", Journal of Experimental Social Psychology 49 (2013). None where more
    than half of the samples are the same.
    """
    from statistics import median  # it imports random, which leaves a handler that every forked child would run

    middle = median(samples)
    scale = SCALED * median(abs(sample - middle) for sample in samples)
    return [at for at, sample in enumerate(samples) if scale and abs(sample - middle) > FAR * scale]


def joined(words: Sequence[str]) -> str:
    """Return the words joined: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
