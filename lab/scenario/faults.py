"""An exception of a scenario, as its author is told of it."""

from __future__ import annotations

import traceback


def raised(error: BaseException) -> str:
    """Its type, its text, and the place in the scenario's file; the explorer's own frames below that do not count."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/lab/explore/" not in frame.filename]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
