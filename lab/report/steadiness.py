"""How far the samples of a benchmark lie apart, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .words import plural

UNSTEADY = 0.10
"""The spread of a figure, as a share of its median, from which on it is called unsteady."""


def steadiness(spreads: Mapping[str, float], noun: str) -> Iterator[str]:
    """What is to be said where the spread of some is too large, and what to do; of each by its name."""
    unsteady = {name: spread for name, spread in spreads.items() if spread >= UNSTEADY}
    if unsteady:
        worst = max(unsteady, key=lambda name: unsteady[name])
        yield (
            f"Unsteady: {len(unsteady)} of {plural(len(spreads), noun)} spread by 10 % of the median or more, most "
            f"{worst} ({100 * unsteady[worst]:.0f} %). Measure on a quieter machine, or longer: --seconds, --repeats."
        )
