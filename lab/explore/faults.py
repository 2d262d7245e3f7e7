"""What can be wrong with a scenario that is explored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.errors import LabError, ScenarioError
from lab.scenario.faults import raised


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
