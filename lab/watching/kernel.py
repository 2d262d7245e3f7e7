"""Record the locks of any program by the tracepoints of the kernel.

The kernel tells each grant, refusal and release, and the locks that a close dropped; it tells nothing of the data. Its
text is kept as it comes, with the names of files behind a "#": `lab.watching.tracepoints` reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lab.host.tracefs import TraceInstance
from lab.processes import ptrace

from .traced import Files
from .tracepoints import TRACE, FileKey, said_in

ENTERED = "fcntl flock close dup2 dup3 exit exit_group clone clone3 fork vfork execve execveat".split()  # noqa: SIM905
MOST_LOOKED_AT = 10_000
LOCKS = ("posix_lock_inode", "flock_lock_inode")


class KernelWatcher:
    """Follows programs by the kernel's tracepoints within the block, and writes what they say into a folder."""

    def __init__(self, folder: Path, globs: Collection[str], words: Sequence[str], buffer_kb: int = 0) -> None:
        """Prepare to record the locks on the files that the globs choose; `words` of the command may name files."""
        numbers = ptrace.numbers_here()
        entered = " || ".join(f"id == {numbers[name]}" for name in ENTERED if name in numbers)
        events = {f"filelock/{name}": "" for name in (*LOCKS, "locks_remove_posix")}
        events |= {"filelock/fcntl_setlk": "ret < 0", "raw_syscalls/sys_enter": entered}
        events |= {f"sched/sched_process_{name}": "" for name in ("fork", "exec", "exit")}
        self._instance = TraceInstance(events, *([buffer_kb] if buffer_kb else []))
        self._files, self._globs, self._words = Files(folder, globs, ""), globs, words
        self._path = folder / TRACE
        self._named: dict[FileKey, str] = {}

    def __enter__(self) -> KernelWatcher:
        self._instance.__enter__()
        self._path.touch()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.look()
            self._name_the_rest()
        finally:
            self._instance.close()

    def allow(self) -> None:
        """Nothing is needed in the programs before they are executed."""

    def enter(self) -> None:
        """Nothing is needed in the programs when they are executed."""

    def begin(self, pids: Sequence[int]) -> None:
        """Record what these processes do, and all that they fork. Raises OSError."""
        self._write([f"# started {pid}" for pid in pids])
        self._instance.follow(pids)

    def look(self) -> None:
        """Write down what the kernel has said since, and find the names of files while they are open."""
        text = self._instance.read()
        if not text:
            return
        self._write([text.rstrip("\n")])
        for said in filter(None, map(said_in, text.splitlines())):
            if said.file and said.file not in self._named:
                self._named[said.file] = ""
            if said.file and not self._named[said.file]:
                self._find(said.file, _opened_by(said.number("fl_pid")))

    def _find(self, file: FileKey, places: Iterable[Path]) -> None:
        for place in places:
            with suppress(OSError):
                its = place.stat()
                if (its.st_dev >> 8 & 0xFFF, its.st_dev & 0xFF | its.st_dev >> 12 & 0xFFF00, its.st_ino) == file:
                    path = str(place.readlink() if str(place).startswith("/proc/") else place.absolute())
                    path = self._named[file] = path.removesuffix(" (deleted)")  # as /proc says of a replaced one
                    word = "file" if self._files.is_chosen(path) else "leave"
                    self._write([f"# {word} {file[0]} {file[1]} {file[2]} {path}"])
                    return

    def _name_the_rest(self) -> None:
        """Look for the files of programs that ended at once among those that the command names, and beside them."""
        for file in [file for file, path in self._named.items() if not path]:
            self._find(file, _near(self._words))
            if not self._named[file] and self._globs:
                self._write([f"# leave {file[0]} {file[1]} {file[2]} "])

    def _write(self, lines: Sequence[str]) -> None:
        with self._path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)


def _opened_by(pid: int) -> Iterator[Path]:
    with suppress(OSError):
        yield from Path(f"/proc/{pid}/fd").iterdir()


def _near(words: Sequence[str]) -> Iterator[Path]:
    named = [Path(word) for word in words if Path(word).exists()]
    yield from named
    seen = 0
    for folder in dict.fromkeys([*(path.absolute().parent for path in named), Path.cwd()]):
        with suppress(OSError):
            for path in folder.iterdir():
                yield path
                seen += 1
                if seen > MOST_LOOKED_AT:
                    return
