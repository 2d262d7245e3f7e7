"""Let the workers of a host draw tickets inside their locks: numbers from one counter, which all hosts share.

A ticket proves what clocks can only bound. Each hold draws one number after its grant and one before its release. The
counter is in the user's process: a worker writes a byte to a socket, its agent passes that on, and the number comes
back on the same way. No port is opened. The two of a hold are written to memory that the keeper reads, beside the log.
"""

from __future__ import annotations

import os
import socket
from types import TracebackType

from lab.memory import anonymous
from lab.memory.protocol import Held
from lab.racing.recorder import CURSOR, HEADER, RECORD, SPARE_RECORDS, WORD_BYTES, Segment

control = -1
"""The descriptor of the socket by which the agent gets the sockets of workers; the keeper sets it at its start."""


class Tickets:
    """The tickets of the workers of one trial on this host, and the sockets that they draw on, made before the fork."""

    def __init__(self, workers: range, records: int) -> None:
        self._first = workers.start
        self._words = 2 * (records + SPARE_RECORDS)
        self._memory = memoryview(anonymous(len(workers) * self._words * WORD_BYTES)).cast("Q")
        self._sockets: dict[int, socket.socket] = {}
        with socket.socket(fileno=os.dup(control)) as agent:
            for worker in workers:
                own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._sockets[worker] = own
                with other:
                    socket.send_fds(agent, [b"."], [other.fileno()])

    def within(self, number: int, segment: Segment, held: Held) -> Held:
        """Return the hold with both its tickets; a twin or a child of a worker draws none: it would share its socket.

        `number` is that of the segment that the hold is recorded in.
        """
        if number not in self._sockets:
            return held
        start = (number - self._first) * self._words
        return Ticketed(held, segment, self._memory[start : start + self._words], self._sockets[number])

    def of(self, worker: int, record: int) -> tuple[int, int] | None:
        """Return both tickets of a worker's hold, by the number of its record; None where it has not drawn both."""
        if worker not in self._sockets:
            return None
        at = (worker - self._first) * self._words + 2 * record
        first, second = self._memory[at : at + 2].tolist()
        return (first, second) if second else None

    def close(self) -> None:
        """Close this process's ends of the sockets: the workers have their own."""
        for each in self._sockets.values():
            each.close()


class Ticketed:
    """A recorded hold that draws a ticket after its grant and another before its release."""

    __slots__ = ("_at", "_held", "_log", "_socket", "_tickets")

    def __init__(self, held: Held, log: Segment, tickets: memoryview, drawn_on: socket.socket) -> None:
        self._held = held
        self._log = log
        self._tickets = tickets
        self._socket = drawn_on
        self._at = -1

    def __enter__(self) -> None:
        slot = self._log[CURSOR]
        self._held.__enter__()
        self._at = 2 * ((slot - HEADER) // RECORD) if self._log[CURSOR] > slot else -1  # else it is not recorded
        self._draw(0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw(1)
        self._held.__exit__(kind, error, trace)

    def _draw(self, which: int) -> None:
        if self._at >= 0:
            self._socket.send(b".")
            self._tickets[self._at + which] = int.from_bytes(self._socket.recv(8), "little")
