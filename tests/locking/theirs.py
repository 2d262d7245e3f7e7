"""Locks of somebody else, as the tests of adapted locks know them: each writes down what is done with it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType


class Switch:
    """A lock with acquire() and release(); the names of the files that it was made for, and what was done."""

    made: list[str] = []  # noqa: RUF012 - emptied by the fixture
    done: list[str] = []  # noqa: RUF012

    def __init__(self, path: str) -> None:
        self.made.append(path)

    def acquire(self) -> object:
        self.done.append("acquire")
        return None

    def release(self) -> None:
        self.done.append("release")


class Refused(Switch):
    def acquire(self) -> bool:
        return False


class Raising(Switch):
    def acquire(self) -> None:
        raise ValueError("no more")


class Sticking(Switch):
    def release(self) -> None:
        raise RuntimeError("not the holder")


class Deadlocking(Switch):
    def acquire(self) -> None:
        raise OSError(errno.EDEADLK, "Resource deadlock avoided")


class Door:
    """A lock that is entered and left."""

    def __init__(self, path: str) -> None:
        pass

    def __enter__(self) -> None:
        Switch.done.append("enter")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Switch.done.append("exit")


@contextmanager
def tunnel(path: str) -> Iterator[None]:
    """A generator's context manager, which can be entered once."""
    Switch.done.append("in")
    yield
    Switch.done.append("out")


class Library:
    """A lock with readers and writers."""

    def __init__(self, path: str) -> None:
        pass

    def reading(self) -> AbstractContextManager[None]:
        return self._marked("read")

    def writing(self) -> AbstractContextManager[None]:
        return self._marked("write")

    def nothing(self) -> None:
        """No context manager."""

    @contextmanager
    def _marked(self, what: str) -> Iterator[None]:
        Switch.done.append(what)
        yield
        Switch.done.append(f"{what} ends")


def raises(path: str) -> None:
    raise ValueError("no such thing")


def leaves(path: str) -> None:
    raise SystemExit(0)


MADE = Switch("beforehand")
ENTERED = Door("beforehand")
TEXT = "text"
