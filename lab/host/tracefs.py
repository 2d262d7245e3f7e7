"""Read tracepoints of the kernel (tracefs; Documentation/trace/ftrace.rst): an instance of its own, that always goes.

tracefs is mounted where nobody sees it, with this process's descriptor as its only name, so that nothing stays mounted
in whatever way the process ends. An instance stays where the process is killed: the next one removes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lab.errors import CannotRunError

from .disks import mount_nowhere

NAME = "lab-watch-"
BUFFER_KB = 8192
"""The size of the buffer of each processor; what does not fit in is counted as lost."""

CHUNK = 1 << 20


class TraceInstance:
    """Some events of some processes and of all that they fork, as text, within the block."""

    def __init__(self, events: Mapping[str, str], buffer_kb: int = BUFFER_KB) -> None:
        """Prepare to read these events ("group/name"), each with its filter, where it is not empty."""
        self._events, self._buffer_kb = events, buffer_kb
        self._mount = self._pipe = -1
        self._name = f"{NAME}{os.getpid()}"

    @property
    def _root(self) -> Path:
        return Path(f"/proc/self/fd/{self._mount}")

    @property
    def _folder(self) -> Path:
        return self._root / "instances" / self._name

    def __enter__(self) -> TraceInstance:
        """Make the instance. Raises CannotRunError where the kernel does not allow that, or lacks an event."""
        try:
            self._mount = mount_nowhere("tracefs")
            self._remove_old()
            self._folder.mkdir()
            self._set("trace_clock", "mono")
            self._set("buffer_size_kb", str(self._buffer_kb))
            self._set("options/event-fork", "1")
            for event, condition in self._events.items():
                if not (self._folder / "events" / event).is_dir():
                    raise CannotRunError(f"this kernel has no tracepoint {event}; watch without --kernel")
                if condition:
                    self._set(f"events/{event}/filter", condition)
            self._pipe = os.open(self._folder / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.close()
            raise CannotRunError(f"no tracepoints here: tracefs: {error.strerror}; that takes root and a kernel with "
                                 "tracing (CONFIG_FTRACE)") from error  # fmt: skip
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def follow(self, pids: Iterable[int]) -> None:
        """Record the events of these processes, and of all that they will fork. Raises OSError."""
        self._set("set_event_pid", " ".join(map(str, pids)))
        for event in self._events:
            self._set(f"events/{event}/enable", "1")

    def read(self) -> str:
        """Return what was recorded since the last time, in lines."""
        parts = []
        with suppress(BlockingIOError):
            while part := os.read(self._pipe, CHUNK):
                parts.append(part)
        return b"".join(parts).decode(errors="replace")

    def all(self) -> list[Path]:
        """Return the folders of all instances, whoever made them."""
        return list((self._root / "instances").iterdir())

    def close(self) -> None:
        """Remove the instance; nothing stays mounted."""
        if self._pipe >= 0:
            os.close(self._pipe)
        if self._mount >= 0:
            with suppress(OSError):
                self._set("tracing_on", "0")
                for event in self._events:
                    self._set(f"events/{event}/enable", "0")
            with suppress(OSError):
                self._folder.rmdir()
            os.close(self._mount)
        self._mount = self._pipe = -1

    def _set(self, name: str, value: str) -> None:
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)

    def _remove_old(self) -> None:
        """Remove the instances of processes that were killed."""
        for folder in self.all():
            found = re.fullmatch(NAME + r"(\d+)", folder.name)
            if found and not Path(f"/proc/{found[1]}").exists():
                with suppress(OSError):
                    folder.rmdir()
