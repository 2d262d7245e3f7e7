"""Figures as people read them."""

from __future__ import annotations

from itertools import zip_longest

from lab.model.figures import one_in, plural, rate

__all__ = ["duration", "kib", "one_in", "plural", "rate", "side_by_side", "wrapped"]

WIDTH = 100
"""Columns that sentences are folded at."""

KEPT = "\0"
"""Stands for a space at which nothing is folded."""

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))


def duration(ns: float) -> str:
    """A time with its unit, two or three digits: 373 ns, 27.8 us, 7.1 ms."""
    for scale, unit in _UNITS:
        if ns >= scale:
            value = ns / scale
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return f"{ns:.0f} ns"


def kib(size: int | None) -> str:
    """Bytes in KiB."""
    return "-" if size is None else f"{size // 1024:,}"


def wrapped(text: str, first: str = "", *, indent: int | None = None, width: int = WIDTH) -> str:
    """Text behind `first`, folded between words at this width; further lines stand below its beginning, or indented."""
    from textwrap import TextWrapper

    further = " " * (len(first) if indent is None else indent)
    fold = TextWrapper(width, first, further, break_long_words=False, break_on_hyphens=False)
    return fold.fill(text.replace(" %", f"{KEPT}%")).replace(KEPT, " ") or first.rstrip()


def side_by_side(*cells: tuple[str, int]) -> str:
    """Texts beside each other, each folded at its own width."""
    columns = [wrapped(text, width=width).splitlines() for text, width in cells]
    rows = zip_longest(*columns, fillvalue="")
    widths = [width for _, width in cells]
    return "\n".join(
        "  ".join(f"{line:{width}}" for line, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
