"""Whether a lock answers at all on a directory: asked where it may hang without hanging the lab."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lab.errors import CannotRunError, LabError
from lab.locks import Lock, LockFailed, prepared, probe_lock
from lab.processes import Crew, cpus_for, detach_output

ANSWERED = 73
"""Exit code of the child that came back from the lock, however: a lock that ends its process does not come back."""


def probe_within(lock: Lock, folder: Path, time_limit_s: float) -> None:
    """Take the lock once in a child, and where it answers there, here: that tells why it is refused.

    Raises CannotRunError where it is refused, fails, or does not answer within the limit.
    """
    with prepared(lock, str(folder / "probe")) as made:
        _probe(made, folder, time_limit_s)


def _probe(lock: Lock, folder: Path, time_limit_s: float) -> None:
    def attempt() -> None:
        detach_output()
        with suppress(Exception):
            probe_lock(lock, folder)
        raise SystemExit(ANSWERED)

    with Crew(1, lambda index: attempt, cpus_for("none")) as crew:
        crew.gather(time_limit_s)
        crew.release()
        (ended,) = crew.wait(time_limit_s)
    if ended.late:
        raise CannotRunError(
            f"lock {lock.name}: no answer on {folder} within {time_limit_s:g} s; try another --lock or another --dir"
        )
    if ended.code != ANSWERED:
        how = f"signal {-ended.code}" if ended.code is not None and ended.code < 0 else f"exit code {ended.code}"
        ending = LockFailed(f"lock {lock.name}: it ended the process that took it ({how})")
        raise CannotRunError(f"{ending}; mend the lock") from ending
    try:
        probe_lock(lock, folder)
    except CannotRunError:
        raise
    except LockFailed as error:
        raise CannotRunError(f"{error}; mend the lock") from error
    except LabError as error:
        raise CannotRunError(str(error)) from error
    except Exception as error:
        raise CannotRunError(f"lock {lock.name}: raised {type(error).__name__}: {error}; mend the lock") from error
