"""A forked worker that becomes another program, and what it prints."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Sequence
from importlib import import_module
from types import TracebackType
from typing import NoReturn

_quick = import_module("_signal")

KEPT = 1 << 16
"""Bytes that are kept of each stream: the last ones."""

PYTHON_IGNORES = ("SIGPIPE", "SIGXFSZ")
"""Signals that the interpreter ignores and that an exec hands on ignored (signal(7)); others count on them."""


def become(path: str, argv: Sequence[str], stdout: int, stderr: int) -> NoReturn:
    """Run a program in place of this process, with nothing to read and its output to these descriptors (execve(2)).

    Raises OSError where it cannot be run.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stream in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(descriptor, stream)
    for name in PYTHON_IGNORES:
        _quick.signal(getattr(_quick, name), _quick.SIG_DFL)
    os.execv(path, list(argv))  # noqa: S606 - that no shell comes between is the point


class Outputs:
    """The standard output and error of some workers: read as it comes, so that no flood blocks, and only its end kept.

    Make it before the fork; a worker writes to `ends`, the parent calls `drain` again and again.
    """

    def __init__(self, indexes: Iterable[int]) -> None:
        """Raises OSError where there are no descriptors left."""
        self.ends: dict[int, tuple[int, int]] = {}
        self.counted: dict[tuple[int, int], int] = {}
        self._tails: dict[tuple[int, int], bytearray] = {}
        self._keys: dict[int, tuple[int, int]] = {}
        self._poll = select.poll()
        try:
            for index in indexes:
                self.ends[index] = (self._stream(index, 1), self._stream(index, 2))
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stream(self, index: int, stream: int) -> int:
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self._keys[ours] = index, stream
        self._tails[index, stream] = bytearray()
        self.counted[index, stream] = 0
        self._poll.register(ours, select.POLLIN)
        return theirs

    def hand_over(self) -> None:
        """Close the ends that the workers write to, in the parent, once they are forked."""
        ends, self.ends = self.ends, {}
        for pair in ends.values():
            for end in pair:
                os.close(end)

    def drain(self, timeout_ms: float) -> None:
        """Read what there is, waiting so long at most for the first of it."""
        for descriptor, _ in self._poll.poll(timeout_ms):
            try:
                read = os.read(descriptor, KEPT)
            except BlockingIOError:
                continue
            if not read:
                self._poll.unregister(descriptor)
            key = self._keys[descriptor]
            self.counted[key] += len(read)
            tail = self._tails[key]
            tail += read
            del tail[:-KEPT]

    def last(self, index: int, stream: int) -> str:
        """The last that a worker wrote to standard output (1) or error (2), as text."""
        return self._tails[index, stream].decode(errors="replace")

    def close(self) -> None:
        """Give all descriptors back; what was read stays."""
        self.hand_over()
        keys, self._keys = self._keys, {}
        for descriptor in keys:
            os.close(descriptor)
