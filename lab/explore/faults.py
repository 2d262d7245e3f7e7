"""What can be wrong with a scenario that is explored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.errors import LabError, ScenarioError
from lab.processes.alarm import Limited, TooLong
from lab.scenario.faults import endless, raised


class NotDeterministic(ScenarioError):  # noqa: N818 - a finding about the scenario
    """The same experience led a worker to other steps: time, randomness or state of its own decide, not the memory."""

    exit_code = 3


def guarded(method: str, call: Callable[[], Any], limit_s: float = 0.0) -> Any:
    """Call what the scenario does outside its rounds; its exception becomes a ScenarioError with its place.

    With a limit it is broken off after so many seconds, which is a ScenarioError too: `Endless`.
    """
    try:
        if not limit_s:
            return call()
        with Limited(limit_s):
            return call()
    except TooLong as error:
        raise endless(method, error, limit_s) from error
    except LabError:
        raise
    except (Exception, SystemExit) as error:
        raise ScenarioError(f"{method} raised {raised(error)}; mend the file") from error
