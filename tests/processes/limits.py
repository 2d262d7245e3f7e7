"""Which workers exceed a short time limit is scripted: the limit begins anew until all others have ended."""

from __future__ import annotations

from collections.abc import Callable, Container

from lab.processes import WorkerPool


def others_run(workers: WorkerPool, late: Container[int]) -> Callable[[], bool]:
    """For `wait(goes_on=)`: whether a worker is not reaped whose index is not among those that are to be late."""
    return lambda: any(index not in late for index in workers._running.values())
