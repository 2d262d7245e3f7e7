"""Figures in sentences: shares, odds, counts."""

from __future__ import annotations


def rate(part: float) -> str:
    """A share as percent; what is not zero never reads as zero, what is not all never as all."""
    percent = 100 * part
    if percent in (0, 100):
        return f"{percent:.0f} %"
    return f"{max(percent, 0.01):.2f} %" if percent < 1 else f"{min(percent, 99.9):.1f} %"


def one_in(power: float | None) -> str:
    """A detection power as "1 in N", rounded so that it never claims more than was measured."""
    if power is None:
        return "-"
    many = int(1 / power)
    digits = max(0, len(str(many)) - 2)
    return f"1 in {many // 10**digits * 10**digits:,}"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
