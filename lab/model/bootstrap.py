"""How sure a median is, from the samples themselves. Not for a process that forks: `random` reseeds in every child."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from statistics import median


def median_interval(
    samples: Sequence[float], *, seed: str, confidence: float = 0.95, draws: int = 2000
) -> tuple[float, float]:
    """The bootstrap interval of the median: percentiles of the medians of `draws` samples drawn with replacement.

    The same samples and seed give the same interval. Source: Efron, "Bootstrap methods: another look at the
    jackknife", Annals of Statistics 7 (1979). Raises StatisticsError for no samples.
    """
    random = Random(seed)  # noqa: S311 - repeatable draws, not secrets
    medians = sorted(median(random.choices(samples, k=len(samples))) for _ in range(draws))
    tail = round((1 - confidence) / 2 * draws)
    return medians[tail], medians[-1 - tail]
