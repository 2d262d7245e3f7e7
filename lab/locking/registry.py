"""Find locks by name: the lab's own, the ready ones, those of other packages, `module:attribute`.

The facts that other parts of the lab need to know of one of its own locks are here (`OWN`); none of them lists locks by
name.

Another package offers a lock in the entry-point group `lab.locks`, which is read only where a name is not built in
(`lab.host.packages`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from lab.errors import CannotRunError, LabError, UsageError, error_line, unknown
from lab.host.packages import LOCKS, declared_in
from lab.memory import scratch
from lab.processes.deadlines import loading

from .adapters import Adapted, adapt, is_manager
from .control import PolledFcntl, PolledFlock, PolledOfd, Unlocked
from .kernel import Fcntl, Flock, Ofd
from .protocol import Action, Lock, LockFailed, completed, kind_of, prepared


class Ready(NamedTuple):
    """A ready lock: the function of `lab.locking.ready` that makes it, the package that it needs, and its summary.

    The package is empty where it needs none.
    """

    function: str
    package: str
    summary: str

    def check_installed(self, name: str) -> None:
        """Raise CannotRunError where its package is missing; it is searched for, and not imported."""
        if self.package and find_spec(self.package) is None:
            raise needs_package(name, self.package)


READY = {
    "filelock": Ready("filelock", "filelock", "filelock.FileLock: flock(2), asked for every 1 ms"),
    "filelock-soft": Ready(
        "filelock_soft", "filelock", "filelock.SoftFileLock: the file exists, looked for every 1 ms"
    ),
    "filelock-rw": Ready(
        "filelock_rw", "filelock", "filelock.ReadWriteLock: the locks of an SQLite file, asked for as SQLite does"
    ),
    "portalocker": Ready("portalocker", "portalocker", "portalocker.Lock: flock(2), waiting in the kernel"),
    "portalocker-rlock": Ready(
        "portalocker_rlock",
        "portalocker",
        "portalocker.RLock: flock(2), waiting in the kernel; an object may take it again",
    ),
    "fasteners": Ready(
        "fasteners", "fasteners", "fasteners.InterProcessLock: a POSIX record lock, asked for every 1 ms"
    ),
    "fasteners-rw": Ready(
        "fasteners_rw", "fasteners", "fasteners.InterProcessReaderWriterLock: a POSIX record lock, asked for every 1 ms"
    ),
    "multiprocessing": Ready(
        "multiprocessing", "multiprocessing", "multiprocessing.Lock: a POSIX semaphore, inherited"
    ),
    "lockfile": Ready(
        "lockfile", "", "a file made with O_CREAT | O_EXCL, looked for every 0.2 ms; stays when its maker is killed"
    ),
    "sysv-semaphore": Ready("system_v", "sysv_ipc", "a System V semaphore (semop, SEM_UNDO), inherited"),
    "posix-semaphore": Ready("posix", "posix_ipc", "a POSIX semaphore (sem_open), nameless at once, inherited"),
}
"""The ready locks of libraries and of the standard library; what they need is imported only when one is chosen."""


def needs_package(name: str, package: str) -> CannotRunError:
    """Return the error of a ready lock whose package is missing."""
    return CannotRunError(f"lock {name}: needs the Python package {package}; pip install 'lock-race-lab[locks]'")


def load(name: str, place: str) -> Lock:
    """Return the lock at this place, by this name: see `lock_of`."""
    with loading(f"lock {name}"):
        found = _found(name, place)
    return lock_of(name, found)


def lock_of(name: str, found: Any) -> Lock:
    """Return the lock that this is: an object with `actions`, one made by a class, or an adapted factory.

    It has this name, unless it was given one of its own; of the protocol it needs `actions` alone (`completed`). Raises
    UsageError where it is none of them.
    """
    if hasattr(found, "actions"):
        return _of_protocol(name, found)
    if not isinstance(found, type) and (is_manager(found) or hasattr(found, "acquire")):
        raise UsageError(
            f"lock {name}: is {kind_of(found)} that was made before the fork, and all workers would share it; "
            "give a function that makes one from the path of a lock file: def make_lock(path): return ..."
        )
    if not callable(found):
        raise UsageError(
            f"lock {name}: is {kind_of(found)}, which cannot be called; give a function of a path that returns a lock"
        )
    return adapt(found, name=name)


def _of_protocol(name: str, found: Any) -> Lock:
    if isinstance(found, type):
        try:
            return completed(found(), name)
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"lock {name}: cannot be made ({error_line(error)}); fix it") from error
    return found.named(name) if isinstance(found, Adapted) and found.nameless else completed(found, name)


def _found(name: str, place: str) -> Any:
    """Return the object at the place. Raises UsageError."""
    module, _, attribute = place.partition(":")
    if not (_is_dotted(module) and _is_dotted(attribute)):
        raise UsageError(f"lock {name}: {place!r} names no attribute of a module; give it as my_module:make_lock")
    try:
        found = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise _missing(name, module, error) from error
    except AttributeError as error:
        raise UsageError(f"lock {name}: cannot be loaded ({error}); name what the module has") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"lock {name}: cannot be loaded, {module} raised {error_line(error)}; fix it") from error
    return found


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _missing(name: str, module: str, error: ModuleNotFoundError) -> UsageError:
    if error.name and f"{module}.".startswith(f"{error.name}."):
        return UsageError(f"lock {name}: no module {error.name} is found; start where it lies, or set PYTHONPATH")
    return UsageError(f"lock {name}: {module} needs a module that is missing ({error}); install it")


class Entry(NamedTuple):
    """One of the lab's own locks and what can be done with it; its class says what its calls do (`Abilities`).

    `family` is the guarantee under which `check` judges that it excludes, empty where `check` does not test it; `title`
    is its name in advice. `polled` makes the same lock requested without waiting. `owner` is what a hold belongs to: a
    process or an open file. `names_holder`: /proc/locks names the process of a hold. `modelled`: the explorer has a
    model of it. `finds_deadlocks`: the kernel answers EDEADLK to a request that would close a ring.
    """

    kind: type[Lock]
    family: str = ""
    title: str = ""
    polled: type[Lock] | None = None
    owner: Literal["", "process", "open file"] = ""
    names_holder: bool = True
    modelled: bool = True
    finds_deadlocks: bool = False

    @property
    def whole_file(self) -> bool:
        """Return True where every lock is on the whole file."""
        return self.kind.excludes and not self.kind.has_ranges


OWN = {
    "none": Entry(Unlocked),
    "fcntl": Entry(Fcntl, "posix", "POSIX locks", PolledFcntl, "process", finds_deadlocks=True),
    "ofd": Entry(Ofd, "ofd", "open file description locks", PolledOfd, "open file", names_holder=False),
    "flock": Entry(Flock, "flock", "flock", PolledFlock, "open file"),
}
"""The lab's own locks in the order in which people read about them.

The ready ones and then others, by name, follow.
"""

KERNEL = tuple(name for name, entry in OWN.items() if entry.kind.excludes)
MODELLED = tuple(name for name, entry in OWN.items() if entry.modelled)
FAMILIES = {entry.family: name for name, entry in OWN.items() if entry.family}
"""The guarantees of `check` that a lock excludes, each with the name of that lock."""

BUILT_IN = (*OWN, *READY)


@cache
def _others() -> dict[str, str]:
    """Return the place of each lock of another package, as module:attribute."""
    return {point.name: point.value for point in declared_in(LOCKS) if point.name not in BUILT_IN}


def lock_names() -> list[str]:
    """Return all names, the lab's own first."""
    return [*BUILT_IN, *_others()]


_given: dict[str, Lock] = {}


def give(lock: Lock) -> None:
    """Let `find_lock` return this very lock by its name, in this process and in those that it forks."""
    _given[lock.name] = lock


def find_lock(name: str) -> Lock:
    """Return a new lock of this name; for `module:attribute`, the lock at that place (`lab.locking.registry.load`).

    Raises UsageError, with the nearest name, where there is none or it cannot load, and CannotRunError where a package
    is missing that it needs.
    """
    if name in _given:
        return _given[name]
    if name in OWN:
        return OWN[name].kind()
    if name in READY:
        return cast("Lock", getattr(import_module("lab.locking.ready"), READY[name].function)())
    if ":" in name:
        return load(name, name)
    if name in _others():
        return load(name, _others()[name])
    if "." in name:
        module, _, attribute = name.rpartition(".")
        raise UsageError(f"unknown lock {name!r}; did you mean {module}:{attribute}?")
    raise unknown("lock", name, lock_names())


def polled(name: str) -> Lock:
    """Return the lock of this name that does not wait. Raises UsageError where there is none."""
    entry = OWN.get(name)
    if entry is None or entry.polled is None:
        known = ", ".join(name for name, entry in OWN.items() if entry.polled)
        raise UsageError(f"lock {name}: cannot be asked for without waiting; known: {known}")
    return entry.polled()


REFUSED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""The errors of filesystems and kernels that do not have the lock (fcntl(2), flock(2))."""

UNABLE = REFUSED | {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    errno.EIO, errno.ESTALE, errno.ENOTCONN,
}  # fmt: skip
"""The errors that a sound lock may raise besides: no permission, no room, a filesystem whose server is gone."""

FIX = "; fix the lock"


def probe(lock: Lock, directory: Path) -> None:
    """Acquire the lock once on a new file in the directory, and release it.

    Raises CannotRunError where the environment refuses it, or a file, and LockFailed where the lock itself has to be
    fixed: it raises any other error, or is no lock.
    """
    try:
        with scratch(directory) as path, path.open("r+b") as file:
            _take(lock, path, file.fileno())
    except OSError as error:
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error


def _take(lock: Lock, path: Path, descriptor: int) -> None:
    try:
        with prepared(lock, str(path)) as made:
            acquire, release = _pair(made.actions(descriptor, 0, 1, write=True))
            acquire()
            release()
    except (Exception, SystemExit) as error:
        raise _blamed(lock.name, error, path.parent) from error


def _pair(given: Any) -> tuple[Action, Action]:
    """Return the two calls. Raises TypeError for anything else."""
    if isinstance(given, tuple | list) and len(given) == 2 and all(map(callable, given)):
        return given[0], given[1]
    raise TypeError(f"actions() returned {kind_of(given)}, not two calls: acquire, release")


def _blamed(name: str, error: BaseException, directory: Path) -> LabError:
    """Return the error that names the cause: the environment or the lock.

    The cause may be in the chain of errors, where the lock raised its own error from the kernel's.
    """
    if isinstance(error, CannotRunError):
        return error
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in UNABLE:
            why = os.strerror(each.errno)
            return CannotRunError(f"lock {name}: refused on {directory} ({why}); try another --lock or another --dir")
        if isinstance(each, ImportError):
            return CannotRunError(f"lock {name}: needs a module that is missing ({error_line(each)}); install it")
    text = str(error) if isinstance(error, LabError) else f"lock {name}: raised {error_line(error)}"
    has_step = isinstance(error, LabError) and not isinstance(error, LockFailed)
    return LockFailed(text if has_step else f"{text.removesuffix(FIX)}{FIX}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Return the error, and those that it was raised from or while."""
    while error:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
