"""Ask a scenario what the files of a trial hold at first, and turn what it raises into errors for its author."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ctypes import Structure
from dataclasses import dataclass
from typing import Any

from lab.errors import LabError, ScenarioError
from lab.processes.deadlines import Limited, TooLong
from lab.scenario import Layout
from lab.scenario.base import endless_error, exception_text
from lab.scenario.files import files_of

from .worker import Setting


@contextmanager
def fixed_by_its_author(method: str, limit_s: float) -> Iterator[None]:
    """Turn an exception of the scenario, in the process that forks, into a ScenarioError with its place.

    The end of its time, at which the method is interrupted, becomes such an error too.
    """
    try:
        with Limited(limit_s):
            yield
    except TooLong as error:
        raise endless_error(method, error, limit_s) from error
    except (LabError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if method == "layout" and isinstance(error, OverflowError):
            raise  # more rounds than a struct can be made for
        raise ScenarioError(f"{method} raised {exception_text(error)}; fix the file") from error


@dataclass(frozen=True, slots=True)
class FirstContent:
    """The struct that a scenario lays over the file of a trial, the bytes of that at first, and its named files."""

    memory: type[Structure]
    layout: Layout
    bytes: bytearray
    files: Mapping[str, Any]

    @classmethod
    def of(cls, setting: Setting) -> FirstContent:
        """Ask the scenario for them. Raises ScenarioError where it raises."""
        scenario = setting.scenario
        with fixed_by_its_author("layout", setting.time_limit_s):
            memory = scenario.layout(setting.workers, setting.rounds)
            scenario.Memory = memory
            layout = Layout(memory)
        content = bytearray(layout.size)
        with fixed_by_its_author("prepare", setting.time_limit_s):
            scenario.prepare(memory.from_buffer(content))
        with fixed_by_its_author("files", setting.time_limit_s):
            files = files_of(scenario, setting.workers, setting.rounds)
        return cls(memory, layout, content, files)
