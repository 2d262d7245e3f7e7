"""Reach hosts by MPI: mpiexec or srun started this same command on each, and all but the first serve as agents.

Rank 0 leads, and its own host takes part as well. MPI only carries messages between pairs: a collective operation would
never end where a rank is gone, and a blocking one keeps a CPU busy. So each rank looks for messages, often after one
has come or gone and seldom else; each sends a sign of life every second, and one that is silent for long is gone.
Keepers and workers are never ranks, and each keeper is started before MPI is: MPI starts threads, and where a rank dies
it ends all of them.
"""

from __future__ import annotations

import atexit
import os
import pickle
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

from lab.errors import CannotRunError, ExitCode, UsageError
from lab.host.environment import version as installed_version

from .agent import Keeper, serve
from .gateways import LAB

ALIVE_S = 1.0
SILENT_S = 10.0
"""A rank says every second that it lives, and one from which nothing came for so long is gone."""

BUSY_S = 0.003
"""For so long after a message each rank looks for the next one without a rest: an answer takes some microseconds."""

REST_S, LONG_REST_S, IDLE_S = 0.001, 0.005, 0.2
"""Then it looks once in a millisecond, and after the last time once in five."""

START_S, END_S = 60.0, 5.0
"""MPI has started within this time, or there is an error, and has ended within that one, or is left as it is."""

ENDED = ("closed",)
INSTALL = "pip install 'lock-race-lab[mpi]'"
HOW = "mpiexec -n 2 -hosts a,b lab hosts --mpi --dir DIR"


class Post:
    """The messages between this rank and others: what is sent, and what has come. No call waits within MPI."""

    def __init__(self, mpi: Any, ranks: Sequence[int]) -> None:
        self._mpi, self._world = mpi, mpi.COMM_WORLD
        self._calls = threading.Lock()  # MPI is asked for calls from one thread at a time
        self._called = threading.Event()
        self._sending: list[tuple[Any, bytes]] = []
        self._coming: dict[int, tuple[Any, bytearray]] = {}
        self._heard = dict.fromkeys(ranks, time.monotonic())
        self._moved = self._signed = time.monotonic()
        self._closed = False

    @property
    def ranks(self) -> list[int]:
        """Return the ranks that are not gone."""
        return list(self._heard)

    def send(self, rank: int, message: tuple[Any, ...]) -> None:
        """Send a message. Raises OSError where the rank is gone."""
        if rank not in self._heard:
            raise OSError("this rank is gone")
        self._send(rank, message)
        self._moved = time.monotonic()
        self._called.set()

    def _send(self, rank: int, message: tuple[Any, ...]) -> None:
        content = pickle.dumps(message)
        with self._calls:
            if self._closed:
                raise OSError("MPI has ended")
            try:
                self._sending.append((self._world.Isend([content, self._mpi.BYTE], rank), content))
            except self._mpi.Exception as error:
                raise OSError(str(error)) from error

    def receive(self) -> tuple[int, tuple[Any, ...]]:
        """Wait for the next message and return its rank and itself: ENDED where a rank fell silent.

        Raises EOFError after `close`.
        """
        while not self._closed:
            now = time.monotonic()
            for rank in self.ranks:
                if (message := self._message_of(rank)) is not None:
                    self._heard[rank] = now
                    if message:
                        self._moved = now
                        return rank, message
                elif now - self._heard[rank] > SILENT_S:
                    self.forget(rank)
                    return rank, ENDED
            if now - self._signed > ALIVE_S:
                self._signed = now
                for rank in self.ranks:
                    with suppress(OSError):
                        self._send(rank, ())
            self._rest(now - self._moved)
        raise EOFError

    def forget(self, rank: int) -> None:
        """Send nothing to this rank and await nothing from it any more."""
        self._heard.pop(rank, None)

    def _message_of(self, rank: int) -> tuple[Any, ...] | None:
        """Return the next message of a rank that has come whole; None where there is none."""
        with self._calls:
            self._forget_sent()
            if rank not in self._coming:
                status = self._mpi.Status()
                if not self._world.Iprobe(rank, self._mpi.ANY_TAG, status):
                    return None
                room = bytearray(status.Get_count(self._mpi.BYTE))
                self._coming[rank] = self._world.Irecv([room, self._mpi.BYTE], rank, status.Get_tag()), room
            request, room = self._coming[rank]
            if not request.Test():
                return None
            del self._coming[rank]
        message: tuple[Any, ...] = pickle.loads(room)  # noqa: S301 - of the same lab, by the same user
        return message

    def _rest(self, idle_s: float) -> None:
        """Let others have the CPU until it is time to look again, or something is sent."""
        if idle_s < BUSY_S:
            time.sleep(0)
        else:
            self._called.wait(REST_S if idle_s < IDLE_S else LONG_REST_S)
            self._called.clear()

    def close(self, timeout_s: float) -> bool:
        """Send and receive no more; return whether all that was sent has gone within this time."""
        deadline = time.monotonic() + timeout_s
        self._closed = True
        self._called.set()
        while self._sending and time.monotonic() < deadline:
            with self._calls:
                self._forget_sent()
        return not self._sending

    def _forget_sent(self) -> None:
        self._sending = [(request, content) for request, content in self._sending if not request.Test()]


class _Leader:
    """The way of an agent to rank 0: what `lab.hosts.agent` calls a channel."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def send(self, message: tuple[Any, ...]) -> None:
        self._post.send(0, message)

    def receive(self) -> tuple[Any, ...]:
        _, message = self._post.receive()
        if message == ENDED:
            raise EOFError
        return message


class _Rank:
    """The way from rank 0 to an agent: a `Transport`."""

    def __init__(self, send: Callable[[tuple[Any, ...]], None]) -> None:
        self.send = send
        self._early: list[tuple[Any, ...]] = []
        self._hear: Callable[[tuple[Any, ...]], None] = self._early.append

    def listen(self, hear: Callable[[tuple[Any, ...]], None]) -> None:
        """Call this for each message that comes, in the thread that receives them."""
        self._hear = hear
        for message in self._early:
            hear(message)

    def hear(self, message: tuple[Any, ...]) -> None:
        """Pass a message on."""
        self._hear(message)


class _Own:
    """Both ways between rank 0 and the agent of its own host, which is a thread of it."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.transport = _Rank(self._messages.put)
        self.receive = self._messages.get
        self.send = self.transport.hear


class Ranks:
    """The hosts that MPI started, as rank 0 sees them."""

    def __init__(self, mpi: Any, keeper: Keeper) -> None:
        self._mpi, self._keeper = mpi, keeper
        self._post = Post(mpi, range(1, mpi.COMM_WORLD.size))
        self._present: queue.SimpleQueue[tuple[int, str, str]] = queue.SimpleQueue()
        self._found = {rank: _Rank(self._sender(rank)) for rank in self._post.ranks}
        self._receiving = threading.Thread(target=self._receive, daemon=True)
        self._receiving.start()
        self._ended = False
        atexit.register(self.end)

    def _sender(self, rank: int) -> Callable[[tuple[Any, ...]], None]:
        return lambda message: self._post.send(rank, message)

    def _receive(self) -> None:
        """Pass on what comes, until each rank has said its last or is gone."""
        staying = set(self._post.ranks)
        while staying:
            rank, (kind, *rest) = self._post.receive()
            if kind == "here":
                self._present.put((rank, *rest))
            elif kind == "bye":
                staying.remove(rank)
            else:
                self._found[rank].hear((kind, *rest))
            staying &= set(self._post.ranks)

    @contextmanager
    def transports(self, timeout_s: float) -> Iterator[dict[str, _Rank | str]]:
        """Yield the way to the agent of each host, by its name, or why there is none; at the end all agents end."""
        own = _Own()
        threading.Thread(target=serve, args=(own, self._keeper), daemon=True).start()
        present = {0: (self._mpi.Get_processor_name(), version())}
        deadline = time.monotonic() + timeout_s
        while len(present) <= len(self._found):
            try:
                rank, name, its = self._present.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            present[rank] = name, its
        names = labels({rank: name for rank, (name, _) in present.items()}, len(self._found) + 1)

        def way(rank: int) -> _Rank | str:
            if rank not in present:
                return f"no sign of it in {timeout_s:g} s"
            ours, its = present[0][1], present[rank][1]
            if its != ours:
                return f"the lab there is {its}, and on {names[0]} it is {ours}; install the same one"
            return self._found.get(rank, own.transport)

        try:
            yield {name: way(rank) for rank, name in names.items()}
        finally:
            self.end()

    def end(self) -> None:
        """Let all agents end, and MPI with them, unless a rank is gone: then its end would never come."""
        if self._ended:
            return
        self._ended = True
        self._to_all("end")
        self._keeper.process.kill()
        self._receiving.join(END_S)
        all_are_here = not self._receiving.is_alive() and self._post.ranks == list(self._found)
        self._to_all("finalize" if all_are_here else "exit")
        if self._post.close(END_S) and all_are_here:
            _end(self._mpi)

    def _to_all(self, word: str) -> None:
        for rank in self._post.ranks:
            with suppress(OSError):
                self._post.send(rank, (word,))


def _end(mpi: Any) -> None:
    def finalize() -> None:
        with suppress(mpi.Exception):
            mpi.Finalize()

    ending = threading.Thread(target=finalize, daemon=True)
    ending.start()
    ending.join(END_S)


def labels(names: dict[int, str], count: int) -> dict[int, str]:
    """Return how each rank is named: by its host, with its rank where others are on it, or by its rank alone."""
    every = list(names.values())
    shared = {rank: f"{name}:{rank}" for rank, name in names.items() if every.count(name) > 1}
    return {rank: shared.get(rank) or names.get(rank) or f"rank {rank}" for rank in range(count)}


def join() -> Ranks:
    """Start this host's keeper, and MPI; return on rank 0. The other ranks serve until it lets them end, and exit.

    Raises CannotRunError without mpi4py or an MPI library, and UsageError where nothing started several ranks.
    """
    keeper = Keeper(str(LAB.parent))
    try:
        mpi = _started()
    except BaseException:
        keeper.process.kill()
        raise
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # MPICH's launcher sends it where a rank was killed
    rank = mpi.COMM_WORLD.rank
    if mpi.COMM_WORLD.size < 2:
        keeper.process.kill()
        raise UsageError(f"--mpi: this rank is alone; {HOW}, or srun with the --mpi=TYPE of your MPI")
    if rank == 0:
        return Ranks(mpi, keeper)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # rank 0 hears of it too, and says when to end
    post = Post(mpi, [0])
    post.send(0, ("here", mpi.Get_processor_name(), version()))
    serve(_Leader(post), keeper)
    with suppress(OSError):
        post.send(0, ("bye",))
    word = ""
    while post.ranks and word not in ("finalize", "exit"):
        _, (word, *_) = post.receive()
    if word == "finalize" and post.close(END_S):
        _end(mpi)
        raise SystemExit(0)
    os._exit(0 if word == "exit" else ExitCode.FAILED)  # what else happens at an end waits for the other ranks


def _started() -> Any:
    """Return the module mpi4py.MPI, whose import starts MPI."""
    late = threading.Timer(START_S, _late)
    late.daemon = True
    late.start()
    try:
        import mpi4py

        mpi4py.rc.thread_level = "serialized"
        mpi4py.rc.finalize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise CannotRunError(f"--mpi: {why}; {INSTALL}, and an MPI: the cluster's own, or pip install mpich") from error
    finally:
        late.cancel()
    return MPI


def _late() -> None:
    os.write(2, f"lab: --mpi: MPI did not start in {START_S:g} s; does {HOW} work?\n".encode())
    os._exit(ExitCode.UNABLE)


def version() -> str:
    """Return the version of this lab, and what tells its source from any other."""
    found = sha256(b"".join(path.read_bytes() for path in sorted(LAB.rglob("*.py")))).hexdigest()
    return f"{installed_version()} ({found[:8]})"
