"""Times to three digits, for figures that are to be compared."""

from __future__ import annotations

UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))


def fine(ns: float) -> str:
    """A time to three digits, with its unit: 786 ns, 1.23 us, 27.1 us, 254 us."""
    return " ".join(_scaled(ns, *_unit(ns)))


def interval(low: float, high: float) -> str:
    """Two times in the unit of the larger."""
    unit = _unit(high)
    return f"{_scaled(low, *unit)[0]} to {' '.join(_scaled(high, *unit))}"


def _unit(ns: float) -> tuple[float, str]:
    return next(((scale, name) for scale, name in UNITS if ns >= 0.9995 * scale), UNITS[-1])


def _scaled(ns: float, scale: float, unit: str) -> tuple[str, str]:
    value = ns / scale
    digits = 0 if scale == 1 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}", unit
