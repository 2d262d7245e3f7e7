"""Try once, in a child, whether a lock works on a directory: it may hang, exit or start threads there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from lab.errors import CannotRunError, error_line
from lab.locking import Lock, LockFailed, prepared, probe_lock
from lab.output import print_to_stderr
from lab.processes import Exit, WorkerPool, cpus_for, detach_output
from lab.records import Verdict

from .mailbox import Mailbox, Report

ANSWERED = 73
"""The exit code of the child once the lock's calls have returned; a lock that ends its process gives another code."""


class Untaken(CannotRunError):  # noqa: N818 - a finding
    """The lock could not be acquired once: `verdict` is "unsupported" where the environment refused it.

    It is "died" or "timeout" where the lock itself is to be fixed.
    """

    def __init__(self, text: str, verdict: Verdict = "unsupported") -> None:
        super().__init__(text)
        self.verdict = verdict
        self.exit_code = CannotRunError.exit_code if verdict == "unsupported" else LockFailed.exit_code


def probe_within(lock: Lock, folder: Path, time_limit_s: float, *, silent: bool = True) -> None:
    """Acquire the lock once in a child, which reports the result; a `silent` child has closed the standard streams.

    Raises Untaken where the lock is refused, fails, or does not answer within the limit.
    """
    try:
        with prepared(lock, str(folder / "probe")) as made, closing(Mailbox()) as mailbox:
            ended = _tried(_attempt(made, folder, mailbox, silent=silent), time_limit_s)
            _judge(lock, folder, time_limit_s, ended, list(mailbox.read()))
    except LockFailed as error:
        raise Untaken(str(error), "died") from error


def _attempt(lock: Lock, folder: Path, mailbox: Mailbox, *, silent: bool) -> Callable[[], None]:
    """Return the child's task: report where the lock was not acquired, and exit with the code that shows it lived."""

    def attempt() -> None:
        detach_output() if silent else print_to_stderr()
        try:
            probe_lock(lock, folder)
        except CannotRunError as error:
            mailbox.send(Report(0, {}, str(error), "unsupported"))
        except LockFailed as error:
            mailbox.send(Report(0, {}, str(error), "died"))
        except BaseException as error:  # the lock's own KeyboardInterrupt, for example
            mailbox.send(Report(0, {}, f"lock {lock.name}: raised {error_line(error)}; fix the lock", "died"))
        raise SystemExit(ANSWERED)

    return attempt


def _tried(attempt: Callable[[], None], time_limit_s: float) -> Exit:
    """Return how the child ended."""
    with WorkerPool(1, lambda index: attempt, cpus_for("none")) as pool:
        pool.gather(time_limit_s)
        pool.release()
        (ended,) = pool.wait(time_limit_s)
    return ended


def _judge(lock: Lock, folder: Path, time_limit_s: float, ended: Exit, reports: list[Report]) -> None:
    """Raise Untaken unless the lock was acquired and released."""
    if ended.late:
        raise Untaken(
            f"lock {lock.name}: no answer on {folder} within {time_limit_s:g} s; fix the lock, "
            "or try another --lock or another --dir",
            "timeout",
        )
    if ended.code != ANSWERED:
        how = f"signal {-ended.code}" if ended.code is not None and ended.code < 0 else f"exit code {ended.code}"
        raise Untaken(f"lock {lock.name}: it ended the process that took it ({how}); fix the lock", "died")
    for report in reports:
        raise Untaken(report.error, "unsupported" if report.kind == "unsupported" else "died")
