"""Compare mapped files with shared memory, as the tutorial does; each cell is observed here.

For each backing there are four processes: an owner, which makes the bytes; a stranger that was forked before, has no
copy of them, and finds them by their key; a latecomer, which looks once all others have ended; and one that removes the
key while the latecomer is attached. `Witness` is such a process.

The tutorial compares two backings, mapped files (`mapped`) and System V segments (`sysv`), in the rows backing store,
set-up, key, persistence, clean-up, synchronisation and portability; the expected results of the others come from the
man pages.
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from lab.errors import CannotRunError, out_of_descriptors
from lab.host.environment import RunStart, anonymous_text, environment
from lab.locking.kernel import call_range
from lab.memory import Folder, workspace
from lab.memory.named import SPECIMENS, Specimen, ftok_keys
from lab.processes.actor import SteppedProcess
from lab.processes.rpc import Gone
from lab.records import BackingSurvey, Cell, Property

BACKINGS = ("mapped", "private", "stream", "sysv", "posix", "anonymous")

PROPERTIES = (
    Property("backing store", "what /proc/self/maps and /proc/self/fd name; of a file the filesystem too"),
    Property("set-up", "which calls, by definition; the owner makes them, and they work"),
    Property("key", "what a stranger, forked before, finds the bytes by; anonymous has none by definition"),
    Property("seen by others", "the owner stores; the stranger loads, and so does a child of the owner"),
    Property("read(2) sees it", "the owner has stored; pread(2) by the stranger, or the owner where there is none"),
    Property("persistence", "all who had it have exited; a new process looks by the key"),
    Property("key removed", "while one process is attached: what that one loads, and what a new one finds"),
    Property("clean-up", "which calls, by definition; the removal worked, once, and left nothing to be found"),
    Property(
        "synchronisation",
        "owner and stranger (or child) load, then each adds 1: what arrived of the 2; "
        "the tutorial's remedy: semaphores for segments, file locks or semaphores for mapped files",
    ),
    Property("file lock on it", "F_SETLK by two processes, each on the descriptor that it has of it"),
    Property("portability", "sysconf(3): the version of POSIX, or its option, that this system says it keeps"),
)

CLAIMS = {
    "backing store": (
        "a file, mapped",
        "a file, mapped",
        "a file, not mapped",
        "kernel memory, /SYSV",
        "kernel memory, /dev/shm/",
        "kernel memory, /dev/zero",
    ),
    "set-up": ("open, mmap", "open, mmap", "open", "ftok, shmget, shmat", "shm_open, ftruncate, mmap", "mmap"),
    "key": ("the file's name", "the file's name", "the file's name", "ftok()", "a name", "none"),
    "seen by others": ("yes", "no", "yes", "yes", "yes", "by children"),
    "read(2) sees it": ("yes", "no", "yes", "no descriptor", "yes", "no descriptor"),
    "persistence": ("stays", "the file as it was", "stays", "stays", "stays", "gone"),
    "key removed": (*["stays, new: ENOENT"] * 5, "has none"),
    "clean-up": (
        "munmap; stays until unlink",
        "munmap; stays until unlink",
        "close; stays until unlink",
        "shmdt; stays until IPC_RMID",
        "munmap; stays until shm_unlink",
        "munmap",
    ),
    "synchronisation": ("none: 1 of 2", "nothing shared", "none: 1 of 2", *["none: 1 of 2"] * 3),
    "file lock on it": ("excludes", "excludes", "excludes", "no descriptor", "excludes", "no descriptor"),
    "portability": ("POSIX", "POSIX", "POSIX", "XSI option", "POSIX", "not in POSIX 2008"),
}
"""The expected result of each of `BACKINGS`, by property; an observation agrees if it begins with it."""


def expectation(name: str, backing: str) -> str:
    """Return the expected result."""
    return CLAIMS[name][BACKINGS.index(backing)]


OK = "ok"
NO_DESCRIPTOR = "no descriptor"
NOT_MAPPED = "not mapped"


class Operations:
    """The operations of a process on its copy of the specimen; it remembers what it has loaded."""

    def __init__(self, specimen: Specimen) -> None:
        self._specimen = specimen
        self._loaded = 0
        self._mapped: Counter[str] = Counter()

    def make(self) -> None:
        """Set the bytes up."""
        before = _mapped_names()
        self._specimen.make()
        self._mapped = _mapped_names() - before

    def backing(self) -> str:
        """Return the name in /proc/self/maps of the memory that `make` mapped: a file's name, or the kernel's own."""
        return next(iter(self._mapped), NOT_MAPPED)

    def opened(self) -> str:
        """Return the name of the file that its descriptor refers to, by /proc/self/fd (proc(5))."""
        descriptor = self._specimen.descriptor
        return NO_DESCRIPTOR if descriptor is None else str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def find(self) -> None:
        """Attach by the key."""
        self._specimen.find()

    def load(self) -> int:
        """Load the first byte."""
        self._loaded = self._specimen.load()
        return self._loaded

    def read(self) -> int | str:
        """Return the first byte, read by pread(2) through the descriptor of the file or object behind the bytes."""
        if self._specimen.descriptor is None:
            return NO_DESCRIPTOR
        return os.pread(self._specimen.descriptor, 1, 0)[0]

    def store(self, value: int) -> None:
        """Store the first byte."""
        self._specimen.store(value)

    def add(self) -> None:
        """Store the byte that was loaded last, plus 1."""
        self._specimen.store(self._loaded + 1)

    def remove(self) -> None:
        """Remove the key."""
        self._specimen.remove()

    def lock(self) -> str:
        """Request a lock (F_SETLK) on the whole file or object behind the bytes."""
        if self._specimen.descriptor is None:
            return NO_DESCRIPTOR
        call_range(self._specimen.descriptor, "F_SETLK", 1, 0, 0, os.SEEK_SET, 0)
        return "granted"

    def shows_child(self, value: int) -> str:
        """Fork a child, store the byte, and let the child load it."""
        with Witness(self._specimen) as child:
            self.store(value)
            return child.does("load")

    def race_child(self) -> str:
        """Run `raced` with the process and a child that it forks."""
        with Witness(self._specimen) as child:
            return race_bytes(self, child)

    def does(self, operation: str) -> str:
        """Perform one of these operations by its name, as a `Witness` does it."""
        return str(getattr(self, operation)())


class Witness:
    """A process, forked on entering the block and killed on leaving it. Raises OSError where fork(2) is refused."""

    def __init__(self, specimen: Specimen) -> None:
        operations = Operations(specimen)
        self._process = SteppedProcess(partial(_perform, operations))

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.end()

    def does(self, operation: str, *values: int) -> str:
        """Return the result of one of the `Operations`: its return value, "ok" for nothing, or the name of an errno."""
        try:
            return str(self._process.do(operation, *values))
        except Gone as gone:
            return f"ended with {gone.code}"


def race_bytes(one: Operations | Witness, other: Witness) -> str:
    """Let both processes load, then each add 1, then both load again; return the four bytes that were loaded."""
    before = one.does("load"), other.does("load")
    for each in (one, other):
        each.does("add")
    return " ".join([*before, one.does("load"), other.does("load")])


def _perform(operations: Operations, operation: str, *values: int) -> str:
    try:
        returned = getattr(operations, operation)(*values)
    except OSError as error:
        if refusal := out_of_descriptors(error):
            raise refusal from error
        return errno.errorcode.get(error.errno or 0, str(error))
    return OK if returned is None else str(returned)


def _mapped_names() -> Counter[str]:
    """Return the names of what is mapped, by /proc/self/maps (proc_pid_maps(5)), but for code and the process's own.

    Meanwhile the interpreter may load a library, and its heap may get a mapping more.
    """
    fields = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines())
    names = (each[5] for each in fields if len(each) > 5)
    return Counter(name for name in names if not (name.startswith("[") or LIBRARY.search(name)))


LIBRARY = re.compile(r"\.so(\.[0-9.]+)?$")
KERNEL_MEMORY = ("/SYSV", "/dev/shm/", "/dev/zero")  # noqa: S108 - names that are read
"""/proc/self/maps begins the name of memory that is no file in a directory with one of these.

Sources: shmat(2), shm_overview(7), mmap(2).
"""

LEGIBLE = 13
"""Characters that are shown of a name such as /SYSV0100c6cf; a longer name is cut to its beginning."""

STORED, AGAIN = ord("x"), ord("y")
SETTINGS = {"SC_MAPPED_FILES": "POSIX", "SC_SHARED_MEMORY_OBJECTS": "POSIX", "SC_XOPEN_SHM": "XSI option"}
ASKED = {
    "mapped": "SC_MAPPED_FILES",
    "private": "SC_MAPPED_FILES",
    "sysv": "SC_XOPEN_SHM",
    "posix": "SC_SHARED_MEMORY_OBJECTS",
}
"""Options of POSIX by the backing that needs them (sysconf(3), posixoptions(7)); the other backings need none."""

ANONYMOUS_SINCE = 202405
"""The first version of POSIX with MAP_ANONYMOUS."""

REFUSED = "refused"
"""The result for a backing that could not be set up, in all rows but set-up, which has the errno."""

Observations = dict[str, str]


def compare(directory: Path, tell: Callable[[str], None]) -> BackingSurvey:
    """Observe every backing, in a fresh directory inside this one. Raises CannotRunError where that cannot be used."""
    begun = RunStart()
    results: dict[str, Observations] = {}
    with workspace(directory) as folder:
        for backing in BACKINGS:
            tell(backing)
            results[backing] = _observations(backing, folder)
        where = environment(folder, begun.load)
    return BackingSurvey(
        **begun.header(where),
        directory=anonymous_text(str(directory)),
        backings=list(BACKINGS),
        properties=list(PROPERTIES),
        cells=list(_cells(results, where.filesystem)),
    )


def _cells(results: dict[str, Observations], filesystem: str) -> Iterator[Cell]:
    for each in PROPERTIES:
        for backing in BACKINGS:
            observed = results[backing].get(each.name, REFUSED)
            if each.name == "backing store" and observed.startswith("a file"):
                observed += f", {filesystem}"
            expected = expectation(each.name, backing)
            yield Cell(each.name, backing, expected, anonymous_text(observed), observed.startswith(expected))


def _observations(backing: str, folder: Path) -> Observations:
    """Observe all properties of one backing; a refusal of the kernel is recorded as the name of its errno."""
    path = folder / "foo"
    try:
        specimen = SPECIMENS[backing](path)
    except OSError as error:
        raise out_of_descriptors(error) or CannotRunError(
            f"backing {backing}: no key for it ({error.strerror}); give another --dir"
        ) from error
    except ImportError as error:
        raise CannotRunError(f"backing {backing}: needs the Python package {error.name}; install it") from error
    try:
        return _life(backing, specimen, path)
    finally:
        with suppress(OSError):
            specimen.remove()
        with suppress(OSError):
            Folder.at(folder).unlink(path.name)


def _life(backing: str, specimen: Specimen, path: Path) -> Observations:
    results: Observations = {"portability": _portability(backing)}
    with Witness(specimen) as stranger, Witness(specimen) as owner:
        made = owner.does("make")
        if made != OK:  # any other observation now would not be of the backing
            return results | {"set-up": made}
        results["set-up"] = expectation("set-up", backing)
        results["backing store"] = _backing(owner.does("backing"), owner.does("opened"), specimen)
        child = owner.does("shows_child", STORED)
        found = stranger.does("find")
        results["key"] = _key(found, specimen, path)
        results["seen by others"] = _visible_to(stranger.does("load") if found == OK else "", child)
        results["read(2) sees it"] = _read((stranger if found == OK else owner).does("read"))
        results["file lock on it"] = _excludes(owner.does("lock"), stranger.does("lock"))
        results["synchronisation"] = _lost(race_bytes(owner, stranger) if found == OK else owner.does("race_child"))
        owner.does("store", AGAIN)
    return results | _after(specimen, backing)


def _after(specimen: Specimen, backing: str) -> Observations:
    """Observe what is left once all processes have ended, and once the key is removed."""
    with Witness(specimen) as latecomer, Witness(specimen) as remover:
        found = latecomer.does("find")
        left = latecomer.does("load") if found == OK else ""
        removed = remover.does("remove"), remover.does("remove")
        with Witness(specimen) as newcomer:
            new = newcomer.does("find")
        still = left and latecomer.does("load") == left
    stays = "stays" if left == str(AGAIN) else "the file as it was" if left else "gone"
    clean = removed in ((OK, "ENOENT"), ("ENOENT", "ENOENT"))
    return {
        "persistence": stays,
        "key removed": f"{'stays' if still else 'gone'}, new: {new}" if left else "has none",
        "clean-up": expectation("clean-up", backing) if clean and new == "ENOENT" else f"removed: {', '.join(removed)}",
    }


def _backing(mapped: str, opened: str, specimen: Specimen) -> str:
    """Name the backing store by what is mapped and what is open; an unknown name is reported as it is."""
    if mapped.endswith(f"/{specimen.key}"):
        return "a file, mapped"
    if mapped == NOT_MAPPED:
        return f"{'a file' if opened.endswith(f'/{specimen.key}') else opened}, not mapped"
    name = mapped.removesuffix(" (deleted)")
    return f"kernel memory, {_short(name)}" if name.startswith(KERNEL_MEMORY) else name


def _short(name: str) -> str:
    """Return the name without the part that is new in every run."""
    return f"{name[:9]}..." if len(name) > LEGIBLE else name


def _key(found: str, specimen: Specimen, path: Path) -> str:
    """Name the kind of key by which the bytes were found."""
    if not specimen.key:
        return "none" if found == "ENOENT" else found
    if found != OK:
        return found
    if specimen.key == path.name:
        kind = "the file's name"
    elif specimen.key.startswith("/"):
        kind = "a name"
    else:
        kind = "ftok()" if specimen.key in ftok_keys(path) else "a number"
    return f"{kind}, {_short(specimen.key)}"


def _visible_to(stranger: str, child: str) -> str:
    if stranger == child == str(STORED):
        return "yes"
    if child != str(STORED):
        return "no"
    return "by children"


def _read(byte: str) -> str:
    if byte == str(STORED):
        return "yes"
    return "no" if byte.isdigit() else byte


def _lost(loads: str) -> str:
    """Say which additions arrived, by what both loaded before and after each added 1 to what it had loaded."""
    try:
        before, before_too, after, after_too = map(int, loads.split())
    except ValueError:  # the name of an errno
        return loads
    if (before, after) == (before_too, after_too):
        return f"none: {after - before} of 2"
    return "nothing shared" if (after, after_too) == (before + 1, before_too + 1) else f"loaded {loads}"


def _excludes(first: str, second: str) -> str:
    return "excludes" if (first, second) == ("granted", "EAGAIN") else second if first == "granted" else first


def _portability(backing: str) -> str:
    """Return the option of POSIX and what sysconf(3) says of it; memory without a name is younger than the others."""
    name = ASKED.get(backing, "SC_VERSION")
    value = os.sysconf(name) if name in os.sysconf_names else -1
    if backing == "anonymous" and value < ANONYMOUS_SINCE:
        return f"not in POSIX {value}"
    setting = SETTINGS.get(name, "POSIX")
    if value <= 0:
        return "no"
    return setting if value == 1 else f"{setting} {value}"  # 1 says that there is an option, and no version
