"""Judge the file that programs left: by the functions of a Python file, or by a command in any language.

A Python file has `check(path, outcome)`, which returns the damage as a scenario's check does, and may have
`prepare(path)`, which writes the first content of the file. A command gets the file's path as an argument, exits with 0
where the file is right and with 1 where it is corrupted, and prints what is broken; another command may write the first
content. Without one the file starts empty.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import ModuleType
from typing import Any, ClassVar

from lab.errors import ScenarioError, UsageError
from lab.processes import Exit, Outputs, WorkerPool, become, cpus_for
from lab.processes.deadlines import loading
from lab.racing.crash import judge_each
from lab.racing.first_content import fixed_by_its_author
from lab.scenario import Damage, Outcome, Scenario
from lab.scenario.base import exception_text, listed_damage

from .explain import FIX, STDERR, STDOUT, last_lines, output_trace, signal_name
from .launch import Program, command_of

KIND = "corrupted file"
"""The kind of damage that a command reports by exit code 1; its output says more."""

RIGHT, CORRUPTED, NOT_STARTED = 0, 1, 126
EVIDENCE = 5
"""The number of lines of a command's output that are kept as evidence: the last ones."""

DRAIN_MS = 1.0
MEANING = "exit with 0 where the file is right, and with 1 where it is corrupted"


class FileCheck(Scenario):
    """Programs on a file; nothing that they do to it is announced, so all damage is unexpected."""

    expects: ClassVar[dict[str, str]] = {}
    worlds: ClassVar[frozenset[str]] = frozenset({"race"})

    def first_content(self, path: Path, limit_s: float) -> None:
        """Write the first content of the file, within so many seconds. Raises ScenarioError where that fails."""
        raise NotImplementedError

    def judge(self, path: Path, outcome: Outcome, limit_s: float) -> list[Damage]:
        """Return what is broken in the file. Raises ScenarioError where the check itself fails, or takes longer."""
        raise NotImplementedError

    def judge_after_kill(self, path: Path, done: Sequence[int], begun: Sequence[int], limit_s: float) -> list[Damage]:
        """Return what is broken in the file, of which the rounds from `done` to `begun`, by copy, may count or not.

        Raises ScenarioError as `judge` does.
        """
        return self.judge(path, Outcome(sum(done), done, begun), limit_s)


def check_of(text: str, prepare: str = "") -> FileCheck:
    """Return the check that `--check` names: a path that ends in .py is a Python file, all else is a command.

    Raises UsageError for a file or a command that cannot be used, and for a `prepare` command beside a Python file.
    """
    if not text.strip():
        raise UsageError("--check: an empty name; give a Python file, or a command")
    if not is_python_file(text):
        return CommandCheck(text, prepare)
    if prepare:
        raise UsageError(f"--prepare: belongs to a --check that is a command; define prepare(path) in {text}")
    return PythonCheck(Path(text).expanduser())


def is_python_file(text: str) -> bool:
    """Return True for a path that ends in .py; `python3 check.py` is a command, as is `./check.py {file}`."""
    return text.endswith(".py") and (not any(map(str.isspace, text)) or Path(text).is_file())


class PythonCheck(FileCheck):
    """The functions of a Python file, called in this process."""

    def __init__(self, path: Path) -> None:
        """Load the check file. Raises UsageError where it is missing, does not load, or has no `check`."""
        with loading(f"--check {path}"):
            module = _loaded(path)
        self._check = _function(path, module, "check", "(path, outcome)")
        self._prepare = _function(path, module, "prepare", "(path)") if hasattr(module, "prepare") else None

    def first_content(self, path: Path, limit_s: float) -> None:
        """See `FileCheck`."""
        if self._prepare:
            with fixed_by_its_author("prepare", limit_s):
                self._prepare(path)

    def judge(self, path: Path, outcome: Outcome, limit_s: float) -> list[Damage]:
        """See `FileCheck`."""
        with fixed_by_its_author("check", limit_s):
            return listed_damage(self._check(path, outcome), self._check)

    def judge_after_kill(self, path: Path, done: Sequence[int], begun: Sequence[int], limit_s: float) -> list[Damage]:
        """See `FileCheck`. The function is asked for each number of rounds that may count, the likeliest first."""
        wrong: list[int] = []

        def judge(counts: Sequence[int]) -> list[Damage]:
            found = self.judge(path, Outcome(sum(counts), counts, begun), limit_s)
            wrong.append(sum(each.count for each in found))
            return found

        def choices() -> Iterator[Sequence[int]]:
            fewest, most, deadline = sum(done), sum(begun), monotonic() + limit_s
            yield begun
            yield from (dealt(done, begun, most - count) for count in [*wrong] if fewest <= most - count)
            for rounds in range(fewest, most):
                if monotonic() > deadline:
                    raise ScenarioError(
                        f"check was not done after {limit_s:g} s for all {most - fewest + 1:,} numbers of rounds that "
                        "may count; make it quicker, lower --rounds, or raise --time-limit"
                    )
                yield dealt(done, begun, rounds)

        return judge_each(choices(), judge)


def dealt(done: Sequence[int], begun: Sequence[int], rounds: int) -> list[int]:
    """Return so many rounds by copy: those that are done, and of those begun the first."""
    counts, left = list(done), rounds - sum(done)
    for copy, most in enumerate(begun):
        more = min(left, most - counts[copy])
        counts[copy] += more
        left -= more
    return counts


class CommandCheck(FileCheck):
    """A command, started in a process of its own; nothing that it starts outlives it."""

    def __init__(self, check: str, prepare: str = "") -> None:
        """Find the programs. Raises UsageError for a wrong command, and where the program is missing."""
        self._check = _command("--check", check)
        self._prepare = _command("--prepare", prepare) if prepare else None

    @property
    def used(self) -> list[str]:
        """Return the placeholders in the command that checks."""
        return self._check.used

    def first_content(self, path: Path, limit_s: float) -> None:
        """See `FileCheck`."""
        if self._prepare:
            with Outputs([0]) as outputs:
                ended = _run(self._prepare, {"file": path}, outputs, limit_s)
                if ended.code != 0 or ended.late:
                    raise _failed("prepare", ended, outputs, limit_s)

    def judge(self, path: Path, outcome: Outcome, limit_s: float) -> list[Damage]:
        """See `FileCheck`.

        Exit code 1 with text on standard error alone is no answer: so ends a Python or a Node program that raised.
        """
        values = {
            "file": path,
            "workers": outcome.workers,
            "rounds": min(outcome.begun),
            "finished": outcome.rounds,
            "begun": sum(outcome.begun),
        }
        with Outputs([0]) as outputs:
            ended = _run(self._check, values, outputs, limit_s)
            wrote = outputs.counted
            raised = wrote[0, STDERR] and not wrote[0, STDOUT]
            if ended.late or ended.code not in (RIGHT, CORRUPTED) or (ended.code == CORRUPTED and raised):
                raise _failed("check", ended, outputs, limit_s)
            return [Damage(KIND, int(ended.code), 1, last_lines(outputs, 0, STDOUT)[-EVIDENCE:])]


PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    "--check": ("file", "workers", "rounds", "finished", "begun"),
    "--prepare": ("file",),
}


def _command(option: str, text: str) -> Program:
    """Return the command; the file's path is its last argument where nothing else says where it stands."""
    found = command_of(option, text, PLACEHOLDERS[option])
    return found if "file" in found.used else replace(found, words=(*found.words, "{file}"))


def _run(command: Program, values: Mapping[str, object], outputs: Outputs, limit_s: float) -> Exit:
    """Run a command to its end, and end what it left; return how it ended."""

    def prepared(index: int) -> Callable[[], None]:
        def run() -> None:
            ends = outputs.ends[index]
            try:
                become(command.path, command.argv(values), *ends)
            except OSError as error:
                os.write(ends[1], f"{command.path}: {error.strerror}; {FIX}\n".encode(errors="replace"))
                raise SystemExit(NOT_STARTED) from error

        return run

    with WorkerPool(1, prepared, cpus_for("none")) as pool:
        outputs.hand_over()
        pool.gather(limit_s)
        pool.release()
        (ended,) = pool.wait(limit_s, meanwhile=lambda: outputs.drain(DRAIN_MS))
    outputs.drain(0)
    return ended


def _failed(what: str, ended: Exit, outputs: Outputs, limit_s: float) -> ScenarioError:
    stream = STDERR if outputs.counted[0, STDERR] else STDOUT
    lines = last_lines(outputs, 0, stream)
    last = f": {lines[-1]}" if lines else ""
    if ended.late:
        return ScenarioError(f"{what} was still at work after {limit_s:g} s{last}; fix it, or raise --time-limit")
    if ended.code == CORRUPTED and what == "check":
        how, fix = "exited with 1 and printed to standard error only", "print what is broken to standard output"
    elif ended.code is not None and ended.code < 0:
        how, fix = f"was killed by {signal_name(-ended.code)}", "fix it"
    else:
        how, fix = f"exited with {ended.code}", MEANING if what == "check" else "exit with 0"
    trace = output_trace(what, outputs, 0, stream) if len(lines) > 1 else ""
    return ScenarioError(f"{what} {how}{last}; {fix}", trace=trace)


def _loaded(path: Path) -> ModuleType:
    """Run the check file as a module that is not cached beside it; its imports are found as usual."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--check {path}: cannot be read ({error.strerror}); give a Python file") from error
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the user's own file
    except SyntaxError as error:
        raise UsageError(f"--check {path}:{error.lineno or 1}: {error.msg}; fix the file") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"--check {path}: cannot be loaded: {exception_text(error)}; fix the file") from error
    return module


def _function(path: Path, module: ModuleType, name: str, takes: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        as_command = f"; or run it as a command: --check 'python3 {shlex.quote(str(path))}'" if name == "check" else ""
        raise UsageError(f"--check {path}: has no function {name}{takes}; define one{as_command}")
    function: Callable[..., Any] = found
    return function
