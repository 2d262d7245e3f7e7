"""One interpreter for many small questions, since a fresh one costs up to half a second.

What a function asks here must leave the process as it was: no child, no descriptor, nothing replaced. What does not
belongs into `in_fresh_process`.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any, ParamSpec

from tests.helpers import OtherProcess

P = ParamSpec("P")
_kept: list[OtherProcess] = []


def in_kept_process(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Any:
    """As `in_fresh_process`, in an interpreter that earlier calls may have used.

    After a call that failed the next one has a new interpreter. A module that starts no other process than this has
    the mark `processes`.
    """
    if not _kept:
        _kept.append(OtherProcess())
    try:
        return _kept[0].call(function, *args, **kwargs)
    except BaseException:
        _end()
        raise


def _end() -> None:
    while _kept:
        _kept.pop().__exit__(None, None, None)


atexit.register(_end)
