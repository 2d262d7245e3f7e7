"""Run on each host: answer pings, and pass requests on to a keeper.

The agent touches no file under test and forks nothing that goes on as Python. It starts the keeper, a fresh process
with one thread, which does both and is the only one that may hang. Where execnet starts the agent, the lab itself comes
with the first message, as a zip archive that is kept in memory: nothing is installed, and nothing is left. On the
machine that it comes from, the message names its folder instead.
`lab.hosts.gateways` sends the text of this module, so it imports the standard library alone.

From there come ("ping",), ("ask", text), ("look",), ("interrupt",), ("ticket", worker, number) and ("end",); back go
("pong", ns of CLOCK_MONOTONIC), ("answer", text), ("state", letter, function of the kernel in which the keeper sleeps),
("ticket", worker) and ("gone", exit code, the end of what it wrote to stderr).

A worker draws a ticket by a byte on a socket of its own, which the keeper has sent here; the number is sent back on it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

BEGIN = "import sys; sys.path.insert(0, {!r}); from lab.hosts.keeper import main; main({})"
CLEAN_S = 2.0
"""A keeper that is to end has so long to remove what it made."""

ERRORS_KEPT = 2000
"""So many bytes of what a keeper wrote to stderr are passed on."""


class Keeper:
    """The keeper's process and its streams."""

    def __init__(self, lab: str, files: Sequence[int] = ()) -> None:
        """Start it; the lab is imported from this folder or archive, for which it needs these descriptors."""
        self._errors = os.memfd_create("errors", 0)
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._workers: dict[int, socket.socket] = {}
        self._guard = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", BEGIN.format(lab, control.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            pass_fds=[*files, control.fileno()],
            cwd="/",
            start_new_session=True,
        )
        self._requests: Any = self.process.stdin
        self._answers: Any = self.process.stdout
        control.close()

    def ask(self, text: str) -> None:
        """Send a request; one that has ended gets none."""
        with suppress(OSError):
            self._requests.write(text.encode() + b"\n")
            self._requests.flush()

    def pass_answers(self, channel: Any) -> None:
        """Send on what it answers, until it ends; then how it ended."""
        for line in self._answers:
            channel.send(("answer", line.decode().rstrip("\n")))
        code = self.process.wait()
        length = os.fstat(self._errors).st_size
        errors = os.pread(self._errors, ERRORS_KEPT, max(0, length - ERRORS_KEPT))
        channel.send(("gone", code, errors.decode(errors="replace")))

    def interrupt(self) -> None:
        """Let it give up what it does, and answer."""
        with suppress(OSError):
            self.process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Let it give up what it does, remove what it made, and end; it is killed where it does not."""
        self.interrupt()
        with suppress(OSError):
            self._requests.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(CLEAN_S)
        self.process.kill()

    def pass_draws(self, channel: Any) -> None:
        """Send on each worker's wish for a ticket, until the keeper ends."""
        poll, numbers, made_so_far = select.poll(), {}, 0
        poll.register(self._control, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._control.fileno():
                    data, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
                    if not data:
                        return
                    made = socket.socket(fileno=descriptors[0])
                    made_so_far += 1  # no number comes twice: an answer may come after its worker has ended
                    numbers[made.fileno()] = made_so_far
                    self._workers[made_so_far] = made
                    poll.register(made, select.POLLIN)
                elif self._workers[numbers[descriptor]].recv(1):
                    channel.send(("ticket", numbers[descriptor]))
                else:
                    poll.unregister(descriptor)
                    with self._guard:
                        self._workers.pop(numbers.pop(descriptor)).close()

    def give(self, worker: int, ticket: int) -> None:
        """Send a worker its ticket, if it is still there."""
        with self._guard, suppress(KeyError, OSError):
            self._workers[worker].send(ticket.to_bytes(8, "little"))

    def state(self) -> tuple[str, str]:
        """Return the letter of its state and the function of the kernel in which it sleeps (proc_pid_stat(5))."""
        place = Path(f"/proc/{self.process.pid}")
        try:
            letter = (place / "stat").read_text().rpartition(")")[2].split()[0]
            return letter, (place / "wchan").read_text()
        except OSError:
            return "", ""


def keeper_of(lab: bytes | str) -> Keeper:
    """Start a keeper with the lab in this zip archive, or in this folder."""
    if isinstance(lab, str):
        return Keeper(lab)
    code = os.memfd_create("lab", 0)
    with os.fdopen(code, "wb") as file:
        file.write(lab)
        file.flush()
        return Keeper(f"/proc/self/fd/{code}", [code])


def serve(channel: Any, keeper: Keeper) -> None:
    """Serve until the channel closes; then the keeper is killed, whatever it does.

    Of the channel it needs `send`, from any thread, and `receive`, which raises EOFError where there is no more.
    """
    answers = threading.Thread(target=_unless_closed, args=(keeper.pass_answers, channel), daemon=True)
    answers.start()
    threading.Thread(target=_unless_closed, args=(keeper.pass_draws, channel), daemon=True).start()
    try:
        while (message := channel.receive())[0] != "end":
            if message[0] == "ping":
                channel.send(("pong", time.monotonic_ns()))
            elif message[0] == "ask":
                keeper.ask(message[1])
            elif message[0] == "ticket":
                keeper.give(*message[1:])
            elif message[0] == "interrupt":
                keeper.interrupt()
            else:
                channel.send(("state", *keeper.state()))
    except EOFError:  # whoever asked is gone
        pass
    finally:
        keeper.stop()
        answers.join(1.0)


def _unless_closed(body: Any, channel: Any) -> None:
    with suppress(OSError, EOFError):
        body(channel)


if __name__ == "__channelexec__":
    serve(channel, keeper_of(channel.receive()))  # type: ignore[name-defined] # noqa: F821 - execnet gives it
