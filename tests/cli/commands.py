"""What the tests of the commands share: scenario files, locks of other packages, terminals, mounts."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from tests.helpers import PATIENCE_S, ROOT, run_lab, wait_until
from tests.needs import private_mounts

SHORT = ("--rounds", "20", "--trials", "1")
QUICK = (*SHORT, "--workers", "2")
"""A race that is over at once."""

REFERENCE = ROOT / "results" / "reference.json"
REPLAYED = "L1,counter,none,2x1,64,2b3f7a1d,0x1.5b2+1x2.c4b+0x1.2aa,447d"
BENCH = ("bench", "--lock", "flock", "--price", "uncontended", "--seconds", "0.02", "--repeats", "5")

COMMAND_LINES: dict[str, tuple[str, ...]] = {
    "race": ("race", "loud.py", "--locked", *QUICK, "--no-save", "--format", "csv", "--leak", "1"),
    "check": ("check", ".", "--only", "names", "--seconds", "0.1", "--no-save"),
    "explore": ("explore", "loud.py", "--locked", "--rounds", "1"),
    "replay": ("replay", REPLAYED, "--times", "1"),
    "bench": BENCH,
    "compare": ("compare", "bench.json", "bench.json", "--anyway"),
    "plot": ("plot", "bench.json", "-o", "made.svg"),
    "watch": ("watch", "--", "true"),
    "hosts": ("hosts", "local", "--dir", "/nowhere"),
    "history": ("history", "history.jsonl"),
    "list": ("list",),
    "locks": ("locks", "flock", "--seconds", "0.3"),
    "new": ("new", "made"),
    "completion": ("completion", "bash"),
    "peek": ("peek", "bench.json", "0", "--hex", "9999999"),
    "tour": ("tour", "--strict", "modes"),
    "backings": ("backings",),
    "page": ("page", "--scenario", "loud.py"),
    "report": ("report", str(REFERENCE)),
}
"""One for each command; where it is cheap, one that also complains."""

NEEDED: dict[str, list[str]] = {
    "watch": ["true"],
    "hosts": ["local", "--dir", "/nowhere"],
    "race": ["touches.py"],
    "check": ["."],
    "compare": ["a.json", "b.json"],
    "report": ["a.json"],
    "history": ["a.json"],
}
"""The arguments that a command must be given beside its options."""

SCENARIO = '''
import os, sys, time
from ctypes import Structure, c_uint64
from pathlib import Path
from lab import EVERY_LOCK, Damage, Scenario

HERE = Path(__file__).parent
DEADLINE = time.monotonic() + 60


def wait_for(state):
    """Until it is so; a minute is for tests that fail."""
    while not state():
        if time.monotonic() > DEADLINE:
            sys.exit("waited in vain")
        time.sleep(0.001)


class Scripted(Scenario):
    """A scripted scenario."""

    expects = {{}}
    locks = ("fcntl",)
    rounds = 1

    class Memory(Structure):
        _fields_ = [("value", c_uint64), ("cells", c_uint64 * 4)]
{attributes}

    def work(self, w):
{work}

    def check(self, memory, outcome):
{check}
'''

LIAR = '''
import os
ERROR = {error!r}

class Liar:
    """A lock that never locks, or is refused."""
    name, summary, has_ranges, excludes = "liar", "a lock of another package", True, True

    def actions(self, descriptor, start, length, *, write):
        def acquire():
            if ERROR:
                raise OSError(ERROR, os.strerror(ERROR))
        return acquire, lambda: None
'''


def scenario_file(
    path: Path, work: str = "pass", *, check: str = "return []", attributes: str = "", syntax: str = ""
) -> Path:
    """A scenario of a user's own; the bodies of its two methods are given as text."""

    def inside(text: str, depth: int) -> str:
        return indent(dedent(text).strip("\n"), "    " * depth)

    text = SCENARIO.format(work=inside(work, 2), check=inside(check, 2), attributes=inside(attributes, 1))
    path.write_text(text + syntax)
    return path


HAND_OVER = """
with w.write_lock(self.Memory.value) if w.index == 0 else nothing():
    if w.index == 0:
        w.memory.value = 1
        wait_for(lambda: w.memory.value == 2)
        return
wait_for(lambda: w.memory.value == 1)
with w.write_lock(self.Memory.value):
    w.memory.value = 2
"""
"""Worker 0 holds the lock until it sees that worker 1 got it too: a lock that locks hangs here, for ever."""


def hand_over(path: Path) -> Path:
    """A scenario that ends only under a lock that lets two in."""
    made = scenario_file(path, HAND_OVER)
    made.write_text("from contextlib import nullcontext as nothing\n" + made.read_text())
    return made


def other_package(folder: Path, error: int = 0) -> dict[str, str]:
    """The environment in which a package offers the lock `liar`, one that never locks, or raises this errno."""
    folder.mkdir()
    (folder / "liar.py").write_text(LIAR.format(error=error))
    info = folder / "liar-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: liar\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lab.locks]\nliar = liar:Liar\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}


def start_lab(*args: str | Path, **how: Any) -> subprocess.Popen[str]:
    """`python -m lab` begun, with its output in pipes; the caller ends it."""
    command = [sys.executable, "-m", "lab", *map(str, args)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
    return subprocess.Popen(command, text=True, **how)


@contextmanager
def working_lab(
    *args: str | Path, until: Callable[[], object], pids: Callable[[], Sequence[int]] = list, **how: Any
) -> Iterator[subprocess.Popen[str]]:
    """`python -m lab` begun and come so far; it is gone afterwards, and so are these processes."""
    lab = start_lab(*args, **how)
    try:
        wait_until(lambda: until() or lab.poll() is not None, "it is at work")
        assert lab.poll() is None
        yield lab
    finally:
        for pid in pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        lab.kill()
        lab.communicate()


def refusal(code: int, *args: str | Path, cwd: Path | None = None) -> str:
    """The one line of a command that ends with this code and prints nothing else."""
    done = run_lab(*args, cwd=cwd)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


def ended(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """A whole command, such as the lab behind strace or inside a mount."""
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class Terminal:
    """A terminal of 100 columns; `end` is what a program writes to."""

    def __init__(self) -> None:
        self._ours, self.end = pty.openpty()
        termios.tcsetwinsize(self.end, (24, 100))

    def read(self, enough: Callable[[str], bool] = lambda text: False) -> str:
        """All that was written until it is enough, or until nobody has the terminal open any more."""
        seen = b""
        while not enough(seen.decode(errors="replace")):
            try:
                seen += os.read(self._ours, 65_536)
            except OSError:  # EIO: the last one has closed it
                break
        return seen.decode(errors="replace")

    def hand_over(self) -> None:
        """Close our own copy of the program's end, once the program has it."""
        os.close(self.end)

    def close(self) -> None:
        """Hang up."""
        os.close(self._ours)


def on_tmpfs(place: Path, options: str, *args: str | Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """`python -m lab` where `place` is a tmpfs mounted with these options; also what is left in it afterwards."""
    place.mkdir()
    left = place.with_name("left")
    script = """
        mount -t tmpfs -o "$1" tmpfs "$2"; place=$2; left=$3; shift 3
        "$@"; code=$?
        ls -A "$place" >"$left"; exit $code
        """
    lab = [sys.executable, "-m", "lab", *args]
    done = ended([*private_mounts(), "sh", "-c", script, "sh", options, place, left, *lab])
    return done, left.read_text().split()


def document(stdout: str) -> dict[str, Any]:
    """The results document that `--json -` printed."""
    made: dict[str, Any] = json.loads(stdout)
    return made


def unfolded(text: str) -> str:
    """The text of a race with each sentence in one line."""
    return re.sub(r"\n  (?=\S)", " ", text)


def lines(text: str) -> list[str]:
    """The lines of an output that say something."""
    return [line for line in text.splitlines() if line.strip()]
