"""Do the part of a host in a race: make the files, fork its workers, let them race, and report what they left.

The keeper keeps all of it in one object from the beginning of a race to its end; each step is a request. What a step
cannot do is answered with the error's kind and text, so that it is the same error where it was asked for.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from time import monotonic, monotonic_ns, sleep
from typing import Any, NamedTuple, cast

from lab.errors import CannotRunError, LabError
from lab.locking import Lock, LockFailed, find_lock, prepared
from lab.memory import Shared, anonymous, find_backing
from lab.memory.folder import Folder, status
from lab.memory.mapped import FileBacking, SharedFile
from lab.memory.workspace import CONTENT, NAME, show, workspace
from lab.processes import stops_held
from lab.racing.first_content import FirstContent
from lab.racing.invariant import Checks
from lab.racing.mailbox import Report, Seen
from lab.racing.probe import Untaken, probe_within
from lab.racing.trial import Gathered, check, job_of, started, trial_file
from lab.racing.worker import Job, Setting
from lab.records.hosts import SEEN_S

from . import keeper, parcel
from .tickets import Tickets

LOOK_AGAIN_S = 0.005
LOOK_FOR_NAME_S = 0.0003
NEAR_NS = 2_000_000
"""So long before the start the workers' keeper no longer sleeps."""

SHOWN_BYTES = 1 << 16
"""Files up to this size are sent whole, so that a host that reads other bytes can be shown which."""

Answer = dict[str, Any]


class Ready(NamedTuple):
    """A trial whose workers wait at the start barrier, and the function that lets them race."""

    setting: Setting
    job: Job
    stop: memoryview
    race: Callable[[Callable[[], None] | None], Gathered]
    tickets: Tickets | None


class HostRace:
    """One race on this host: the folder, and of the trial at hand the file, the workers and what they left."""

    def __init__(self) -> None:
        self._kept = ExitStack()
        self._trial = ExitStack()
        self._ready: Ready | None = None
        self._checks = Checks()
        self.folder = Path()

    @property
    def ready(self) -> Ready:
        """Return the trial at hand. Raises CannotRunError where none was prepared."""
        if self._ready is None:
            raise CannotRunError("no trial was prepared here; report this")
        return self._ready

    def begin(self, directory: str, folder: str, modules: Mapping[str, Sequence[str]]) -> Answer:
        """Make the folder of the race, or find the one that another host has made; return its path.

        `folder` is the name of the one to find, empty where it is to be made.
        """
        parcel.unpack(modules)
        if folder:
            self.folder = Path(directory, folder)
            found = _seen(partial(Folder.holding, self.folder, NAME, CONTENT), f"the folder {self.folder}")
            self._kept.enter_context(found.kept_open())
        else:
            self.folder = self._kept.enter_context(workspace(Path(directory)))
            show(Folder.at(self.folder))
        keeper.AT_END.append(self.end)
        return {"folder": self.folder.name}

    def probe(self, setting: Answer) -> Answer:
        """Acquire the lock once."""
        made = setting_of(setting)
        probe_within(made.lock, self.folder, made.time_limit_s, silent=made.stresses)
        return {}

    def prepare(
        self, setting: Answer, number: int, name: str, first: int, count: int, *, tickets: bool, looks: bool
    ) -> Answer:
        """Make the file of a trial, or find it by its name, and fork workers that wait at the start barrier."""
        made, workers = setting_of(setting), range(first, first + count)
        content = FirstContent.of(made)
        backing = cast("FileBacking", find_backing(made.backing))
        with ExitStack() as trial:
            if name:
                path, size = self.folder / name, len(content.bytes)
                _seen(lambda: status(path).st_size == size, f"the {size:,} bytes of {path}")
                shared: Shared = SharedFile(backing, path, size)
            else:
                (text,), shared = trial.enter_context(
                    trial_file(
                        backing,
                        number,
                        [self.folder],
                        content.bytes,
                        sparse=made.scenario.sparse,
                        files=content.files,
                    )
                )
                path = Path(text)
            made = replace(made, lock=trial.enter_context(prepared(made.lock, str(path))))
            job = job_of(made, number, content, (str(path),), shared, populated=False)
            drawn = None
            if tickets and made.lock.excludes:
                drawn = Tickets(workers, made.rounds * made.scenario.holds_per_round)
                trial.callback(drawn.close)
                job = replace(job, within=drawn.within)
            stop = memoryview(anonymous(8)).cast("Q")
            job = replace(job, stop=stop)
            race = trial.enter_context(started(made, job, number, workers, looks=looks))
            self._trial, self._ready = trial.pop_all(), Ready(made, job, stop, race, drawn)
        return {"name": path.name}

    def go(self, at_ns: int, stop_s: float) -> Answer:
        """Release the workers at this time of this host's clock; return what they left.

        After so many seconds they begin no more rounds.
        """
        ready = self.ready
        while (left_ns := at_ns - monotonic_ns()) > NEAR_NS:
            sleep((left_ns - NEAR_NS) / 1e9)
        while monotonic_ns() < at_ns:
            pass
        end = monotonic() + stop_s

        def meanwhile() -> None:
            ready.stop[0] = monotonic() >= end
            sleep(LOOK_AGAIN_S)

        found = ready.race(meanwhile)
        self._checks = found.checks
        return {"found": packed(found, _drawn(ready, found)), "stopped": bool(ready.stop[0])}

    def check(self, rounds_done: list[int], reports: list[Answer]) -> Answer:
        """Return what the scenario's check finds in the file once all workers of all hosts have ended."""
        setting, job, *_ = self.ready
        every = [report_from(each) for each in reports]
        damage = check(setting.scenario, job, rounds_done, every, setting.time_limit_s, self._checks)
        return {"damage": [(each.kind, each.count, each.of, list(each.evidence)) for each in damage]}

    def view(self) -> Answer:
        """Return which bytes this host reads from the file, opened anew; all of them where they are few."""
        content = bytes(self.ready.job.shared.read_back())
        few = b64encode(content).decode() if len(content) <= SHOWN_BYTES else ""
        return {"digest": hashlib.sha256(content).hexdigest(), "content": few}

    def remove(self) -> Answer:
        """End the workers that are left, and remove the file of the trial if it was made here."""
        self._ready = None
        self._trial.close()
        return {}

    def end(self, *, orphaned: bool = False) -> Answer:
        """Remove the folder too, if it was made here, or if the host that made it is gone."""
        with stops_held():
            self.remove()
            self._kept.close()
            if orphaned:
                with suppress(FileNotFoundError):
                    if found := Folder.holding(self.folder, NAME, CONTENT):
                        found.remove()
            return {"left": self.folder.is_dir()}


def _drawn(ready: Ready, found: Gathered) -> list[tuple[int, int]]:
    """Return the tickets of each hold; zeros for one that drew none, or ended otherwise than by its own release."""
    drawn = []
    records: Counter[int] = Counter()
    for raw, hold in zip(ready.job.log.holds(), found.holds, strict=True):
        own = ready.tickets.of(raw[3], records[raw[3]]) if ready.tickets and raw == hold else None
        records[raw[3]] += 1
        drawn.append(own or (0, 0))
    return drawn


def _seen(look: Callable[[], Any], what: str) -> Any:
    """Return what the look finds, as soon as it does. Raises CannotRunError where it does not: names are cached."""
    deadline = monotonic() + SEEN_S
    while True:
        with suppress(OSError):
            if found := look():
                return found
        if monotonic() > deadline:
            raise CannotRunError(f"does not see {what} within {SEEN_S:g} s; is it one filesystem on all hosts?")
        sleep(LOOK_AGAIN_S)


_race = HostRace()


def do_step(step: str, **arguments: Any) -> Answer:
    """Do one step of the race; `begin` starts a new one. An error of the lab is returned with its kind."""
    global _race
    if step == "begin":
        _race = HostRace()
    try:
        answer: Answer = getattr(_race, step)(**arguments)
        return answer
    except LabError as error:
        verdict = getattr(error, "verdict", "")
        return {"raised": type(error).__name__, "text": str(error), "verdict": verdict}
    except (MemoryError, OverflowError):
        return {"raised": "MemoryError", "text": "", "verdict": ""}


def setting_for(setting: Setting, *, leak: float) -> Answer:
    """Return what a host has to know of a setting; the code that it names is sent by `parcel`."""
    scenario, lock = type(setting.scenario), setting.lock
    return {
        "scenario": f"{scenario.__module__}:{scenario.__qualname__}",
        "lock": lock.name,
        "lock_kind": f"{type(lock).__module__}:{type(lock).__qualname__}",
        "backing": setting.backing,
        "workers": setting.workers,
        "rounds": setting.rounds,
        "pin": setting.pin,
        "window_ns": setting.window_ns,
        "leak": leak,
        "time_limit_s": setting.time_limit_s,
        "seed": setting.seed,
        "stresses": setting.stresses,
    }


POLLED = "lab.locking.control:Polled"
"""The kinds of locks that have the name of another, which waits."""

LOCK_FILE = "lab.checking.stress.lock_files:NameLock"
"""The kind of the locks of a check that are names; it makes each by its name."""


def setting_of(sent: Answer) -> Setting:
    """Return the setting that was sent. Raises UsageError and CannotRunError where its lock is not available here."""
    sent = dict(sent)
    kind = sent.pop("lock_kind")
    if kind == LOCK_FILE:
        lock: Lock = resolve_name(kind)(sent["lock"], LOOK_FOR_NAME_S)
    else:
        lock = resolve_name(kind)() if kind.startswith(POLLED) else find_lock(sent["lock"])
    return Setting(**{**sent, "lock": lock, "scenario": resolve_name(sent["scenario"])()})


def packed(found: Gathered, tickets: Sequence[tuple[int, int]]) -> Answer:
    """Return what workers left as it is sent: holds and their tickets as 64-bit words, compressed."""
    words = array("Q", [word for hold, own in zip(found.holds, tickets, strict=True) for word in (*hold, *own)])
    return {
        **{name: getattr(found, name) for name in PLAIN},
        "exits": [asdict(each) for each in found.exits],
        "reports": [asdict(each) for each in found.reports],
        "failures": [asdict(each) for each in found.failures],
        "orphans": [each._asdict() for each in found.orphans],
        "checks": asdict(found.checks),
        "holds": b64encode(zlib.compress(words.tobytes(), 1)).decode(),
    }


PLAIN = (
    "released_ns", "workers", "time_limit_s", "ended_ns", "rounds_done", "unrecorded", "refused", "deadlocks",
    "gave_up", "private_bytes",
)  # fmt: skip
WORDS = 7
"""The words of a hold as it is sent: those of its row, and both tickets."""


def unpacked(sent: Answer) -> tuple[Gathered, list[tuple[int, int]]]:
    """Return what was sent, and the tickets of each hold: zeros where it drew none."""
    from lab.processes import Exit, Orphan
    from lab.records import Failure

    words = array("Q", zlib.decompress(b64decode(sent["holds"]))).tolist()
    rows = [words[at : at + WORDS] for at in range(0, len(words), WORDS)]
    found = Gathered(
        **{name: sent[name] for name in PLAIN},
        exits=[Exit(**each) for each in sent["exits"]],
        reports=[report_from(each) for each in sent["reports"]],
        failures=[Failure(**each) for each in sent["failures"]],
        orphans=[Orphan(**each) for each in sent["orphans"]],
        checks=Checks(**sent["checks"]),
        holds=[(row[0], row[1], row[2], row[3], row[4]) for row in rows],
    )
    return found, [(row[5], row[6]) for row in rows]


def report_from(sent: Answer) -> Report:
    """Return the report that was sent."""
    return Report(**{**sent, "seen": {kind: Seen(**each) for kind, each in sent["seen"].items()}})


def error_of(answer: Answer, host: str) -> Exception:
    """Return the error that a step was answered with, with the name of its host."""
    from lab.errors import ScenarioError, UsageError

    text = f"{host}: {answer['text']}"
    kind = answer["raised"]
    if kind == "Untaken":
        return Untaken(text, answer["verdict"])
    kinds: dict[str, type[Exception]] = {
        "ScenarioError": ScenarioError, "Endless": ScenarioError, "LockFailed": LockFailed, "MemoryError": MemoryError,
        "UsageError": UsageError,
    }  # fmt: skip
    return kinds.get(kind, CannotRunError)(text)
