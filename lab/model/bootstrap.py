"""How sure a median is, from the samples themselves. Not for a process that forks: `random` reseeds in every child."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from statistics import median


def median_interval(
    samples: Sequence[float], *, seed: str, confidence: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """The bootstrap interval of the median: percentiles of the medians of `draws` samples drawn with replacement.

    The same samples and seed give the same interval. Source: Efron, "Bootstrap methods: another look at the
    jackknife", Annals of Statistics 7 (1979). Raises StatisticsError for no samples.
    """
    draw = _drawn_medians(samples, Random(seed))  # noqa: S311 - repeatable draws, not secrets
    return _middle([next(draw) for _ in range(draws)], confidence)


def ratio_interval(
    before: Sequence[float], after: Sequence[float], *, seed: str, confidence: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """The bootstrap interval of the ratio of two medians, `after` to `before`; both are drawn anew each time.

    Raises StatisticsError where either has no samples, ZeroDivisionError for samples of 0 before.
    """
    random = Random(seed)  # noqa: S311 - repeatable draws, not secrets
    old, new = _drawn_medians(before, random), _drawn_medians(after, random)
    return _middle([next(new) / next(old) for _ in range(draws)], confidence)


def _drawn_medians(samples: Sequence[float], random: Random) -> Iterator[float]:
    while True:
        yield median(random.choices(samples, k=len(samples)))


def _middle(values: list[float], confidence: float) -> tuple[float, float]:
    """The percentiles between which so many of the values lie."""
    tail = round((1 - confidence) / 2 * len(values))
    ordered = sorted(values)
    return ordered[tail], ordered[-1 - tail]
