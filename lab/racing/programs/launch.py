"""Read the command lines of programs, name them, and fill in what the lab provides.

Programs that wait for a start signal get it here: a FIFO each, whose end of file is the signal.

Files that programs leave beside the file that they are given are removed here too.
"""

from __future__ import annotations

import errno
import os
import re
import select
import shlex
from binascii import crc32
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from lab.errors import UsageError, unknown
from lab.memory import Folder, open_file

PLACEHOLDERS = ("file", "worker", "workers", "rounds", "seed", "start")
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")
"""The placeholders: {file} is filled in, {{file}} becomes {file}; other braces stay as they are."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was found: its path, the words of its command line, and the name that tables show."""

    path: str
    words: tuple[str, ...]
    name: str

    @property
    def waits(self) -> bool:
        """Return True where it is given a start signal to wait for."""
        return "start" in self.used

    @property
    def used(self) -> list[str]:
        """Return the placeholders in its command line."""
        return _used(self.words)

    def given(self, values: Mapping[str, object]) -> Program:
        """Return the program with these placeholders filled in by text without braces, and the others as they are."""

        def fill(found: re.Match[str]) -> str:
            return str(values.get(found[2], found[0]))

        return replace(self, words=tuple(PLACEHOLDER.sub(fill, word) for word in self.words))

    def argv(self, values: Mapping[str, object]) -> list[str]:
        """Return the arguments of one worker, with each placeholder filled in."""

        def fill(found: re.Match[str]) -> str:
            return f"{{{found[1]}}}" if found[1] else str(values[found[2]])

        return [PLACEHOLDER.sub(fill, word) for word in self.words]


def program_of(text: str) -> Program:
    """Return the program of `--program`, a command line that names its file.

    Raises UsageError as `command_of` does, and where the program would not get the name of its file.
    """
    found = command_of("--program", text, PLACEHOLDERS)
    if "file" not in found.used:
        raise UsageError(f"--program {text!r}: has no {{file}}, so the program would not know its file; add it")
    return found


def command_of(option: str, text: str, known: Sequence[str]) -> Program:
    """Return the program of a command line in a shell's quoting, with these placeholders; no shell runs it.

    Raises UsageError where the line is empty or ends in the middle of a quotation, for a placeholder that is not known,
    and where the program is missing or may not be run.
    """
    try:
        words = tuple(_at_home(word) for word in shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}; fix the quoting") from error
    if not words:
        raise UsageError(f"{option}: an empty command; give a program and its arguments")
    for name in _used(words):
        if name not in known:
            told = unknown("placeholder", name, list(known))
            raise UsageError(f"{option}: {told} ({{{{{name}}}}} stands for {{{name}}} itself)")
    return Program(_found(option, words[0]), words, name_of(words))


PLAIN, SHELL = ("", 0, ""), ("o", 0, "c")
RUNNERS = {
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "fish"), SHELL),
    **dict.fromkeys(("deno", "bun", "lua", "php", "java", "go", "Rscript", "nohup", "setsid"), PLAIN),
    **dict.fromkeys(("python", "pypy"), ("WX", 0, "")),
    **dict.fromkeys(("node", "nodejs"), ("r", 0, "")),
    **dict.fromkeys(("perl", "ruby"), ("I", 0, "")),
    "env": ("uC", 0, ""),
    "flock": ("wE", 1, "c"),
    "nice": ("n", 0, ""),
    "stdbuf": ("ioe", 0, ""),
    "taskset": ("", 1, ""),
    "timeout": ("ks", 1, ""),
}
"""Programs that run another one: the letters of options that take a value, how many words stand before the other
program, and the letter of the option whose value is a script of a shell."""

VERSION = re.compile(r"(?<=[a-z])[\d.]+")
SUFFIX = re.compile(r"(?<=.)\.(pyz?|[mc]?[jt]s|(ba|z|k|fi)?sh|rb|pl|php|lua|tcl|awk|R|go|jar|exe)")
NO_NAME = re.compile(r"run|\w+=.*", re.DOTALL)
"""What may stand between a runner and the program: `go run x.go`, `env A=1 x`."""

SCRIPT = re.compile(r"\s*(?:exec\s+)?([\w./+-]+)(?=\s|$)")
OF_SHELL = frozenset({
    "case", "cd", "echo", "eval", "exit", "export", "for", "function", "if", "local", "printf", "read", "set", "shift",
    "source", "test", "trap", "ulimit", "umask", "unset", "until", "wait", "while",
})  # fmt: skip
"""Words at the beginning of a shell's script that name no program."""


def name_of(words: Sequence[str]) -> str:
    """Return the name of a program for tables, the script's and not its interpreter's: `python3 spool.py` is spool.

    Of `sh -c SCRIPT` it is the program with which the script begins, else sh.
    """
    first = SUFFIX.sub("", Path(words[0]).name)
    values, before, script = RUNNERS.get(VERSION.sub("", first), ("", 0, None))
    rest = list(words[1:]) if script is not None else []
    while rest:
        word = rest.pop(0)
        if word[:1] == "-":
            if rest and word[1:2] != "-" and word[-1:] in ("c", "e") and word[-1:] not in values:
                begun = SCRIPT.match(rest[0]) if word[-1:] == script else None
                return name_of(_words(rest[0])) if begun and begun[1] not in OF_SHELL else first
            if word[1:2] != "-" and word[-1:] in values:
                del rest[:1]
        elif before:
            before -= 1
        elif not NO_NAME.fullmatch(word):
            return first if PLACEHOLDER.search(word) else name_of([word, *rest])
    return first


def _words(script: str) -> list[str]:
    """Return the words of a shell's script, as far as they can be told without a shell."""
    try:
        words = shlex.split(script)
    except ValueError:
        words = script.split()
    return words[1:] if words[0] == "exec" else words


def _at_home(word: str) -> str:
    """Return the word with ~/ at its beginning replaced by the home directory, as a shell does."""
    return os.path.expanduser(word) if word.startswith("~/") else word  # noqa: PTH111


def number_of(seed: str, worker: int) -> int:
    """Return the {seed} of one worker: 32 bits, the same in every run of the same seed."""
    return crc32(f"{seed}/{worker}".encode())


def _used(words: tuple[str, ...]) -> list[str]:
    return [found[2] for word in words for found in PLACEHOLDER.finditer(word) if found[2]]


def _found(option: str, name: str) -> str:
    """Return its path, searched for as a shell does (execvp(3)). Raises UsageError."""
    if not name:
        raise UsageError(f"{option}: an empty name; give a program")
    places = [name] if "/" in name else [os.path.join(folder, name) for folder in os.get_exec_path()]  # noqa: PTH118
    present = [place for place in places if os.path.isfile(place)]  # noqa: PTH113 - text, as execv(2) takes it
    for place in present:
        if os.access(place, os.X_OK):
            return place
    if not present:
        if "/" in name and os.path.isdir(name):  # noqa: PTH112
            raise UsageError(f"{option} {name}: is a folder; name the program in it")
        beside = f", or ./{name} for the one in this folder" if Path(name).is_file() else ""
        where = "no such program" if "/" in name else "no such program on the PATH"
        raise UsageError(f"{option} {name}: {where}; build it, or give its path{beside}")
    raise UsageError(f"{option} {present[0]}: may not be run; chmod +x it, or name its interpreter before it")


class Start:
    """The start signal: a program that opens its FIFO for reading has arrived; what it reads ends at the release.

    Opening the other end without waiting is refused with ENXIO until a process reads (fifo(7)): that shows which have
    arrived.
    """

    def __init__(self, folder: Path, indexes: Iterable[int]) -> None:
        """Make the FIFOs. Raises OSError where the folder has no FIFOs."""
        self._paths = {index: folder / f"start-{index}" for index in indexes}
        self._open: dict[int, int] = {}
        self.arrived: set[int] = set()
        for path in self._paths.values():
            os.mkfifo(path, 0o600)

    def __enter__(self) -> Start:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def path(self, index: int) -> str:
        """Return the {start} of this worker."""
        return str(self._paths.get(index, ""))

    def look(self) -> None:
        """Note which programs have arrived since."""
        for index in self._paths.keys() - self.arrived:
            try:
                self._open[index] = open_file(self._paths[index], os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            else:
                self.arrived.add(index)

    @property
    def gone(self) -> set[int]:
        """Return those that have arrived and no longer read: they did not wait for the end, or have ended."""
        return {index for index, descriptor in self._open.items() if _has_no_reader(descriptor)}

    def release(self) -> None:
        """Release all."""
        waiting, self._open = self._open, {}
        for descriptor in waiting.values():
            os.close(descriptor)


def _has_no_reader(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


@contextmanager
def without_extras(file: Path) -> Iterator[None]:
    """Remove after the block what has appeared beside the file under a longer name, such as NAME-journal.

    Files that cannot be removed stay. Raises OSError where the folder cannot be read.
    """
    folder = Folder.at(file.parent)
    present = set(folder.names())
    try:
        yield
    finally:
        with suppress(OSError):
            folder.clear(lambda name: name.startswith(file.name) and name not in present)
