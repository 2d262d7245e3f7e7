"""What can be wrong with a scenario that is explored, and how it is told with its place in the scenario's file."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from lab.errors import LabError, ScenarioError


class NotDeterministic(ScenarioError):  # noqa: N818 - a finding about the scenario
    """The same experience led a worker to other steps: time, randomness or state of its own decide, not the memory."""

    exit_code = 3


def guarded(method: str, call: Callable[[], Any]) -> Any:
    """Call what the scenario does outside its rounds; its exception becomes a ScenarioError with its place."""
    try:
        return call()
    except LabError:
        raise
    except (Exception, SystemExit) as error:
        raise ScenarioError(f"{method} raised {raised(error)}; mend the file") from error


def raised(error: BaseException) -> str:
    """An exception of the scenario with the place in its file."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/lab/explore/" not in frame.filename]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
