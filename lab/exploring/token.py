"""Write a schedule as one word to paste: the scenario and its fingerprint, the shape, the turns, a checksum.

    L1,counter,fcntl,2x1,64,5f3a9c,0x1.a3+1x2.9c+0x1.11,7be2

The parts are: version; scenario; lock; workers x rounds, of operations also the calls of each worker by their numbers
(2x2:0.0-1); line; fingerprint of the scenario's file; for each turn the
worker, its number of steps and a fingerprint of the operations; a checksum over all of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote

from lab.errors import UsageError
from lab.gallery import builtin_names
from lab.records import Step
from lab.scenario import Found, find_scenarios, scenario_file
from lab.scenario.operations import Operations, filled, numbers_of, with_program

from .trace import WAITS

VERSION = "L1"
FIELDS = 8
MOST_WORKERS, MOST_STEPS, MOST_LINE = 255, 10**6, 1 << 20
AGAIN = "make a new one with `lab explore`"
CHANGED = f"has changed since the token was made; {AGAIN}"


class Turn(NamedTuple):
    """Steps that one worker did without a break, and the fingerprint of their operations."""

    worker: int
    steps: int
    operations: str


@dataclass(frozen=True, slots=True)
class Token:
    """The contents of a token."""

    scenario: str
    lock: str
    workers: int
    rounds: int
    line: int
    fingerprint: str
    turns: tuple[Turn, ...]
    program: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        turns = "+".join(f"{turn.worker}x{turn.steps}.{turn.operations}" for turn in self.turns)
        return joined(VERSION, self.scenario, self.lock, self._shape, str(self.line), self.fingerprint, turns)

    @property
    def _shape(self) -> str:
        calls = "-".join(".".join(map(str, mine)) for mine in self.program)
        return f"{self.workers}x{self.rounds}{':' * bool(calls)}{calls}"

    @property
    def schedule(self) -> bytes:
        """Return the worker of each step."""
        return b"".join(bytes([turn.worker]) * turn.steps for turn in self.turns)


def joined(version: str, scenario: str, *parts: str) -> str:
    """Return the parts of a token as one word, with a checksum."""
    said = ",".join((version, quote(scenario, safe="/:_-."), *parts))
    return f"{said},{digest(said, 4)}"


def parts_of(text: str, fields: int) -> list[str]:
    """Return the parts of a token that has so many, without its version and its checksum, which must fit.

    Raises UsageError where the token was cut short or mistyped.
    """
    parts = text.strip().split(",")
    said, _, checksum = text.strip().rpartition(",")
    if len(parts) != fields or checksum != digest(said, 4):
        raise UsageError("the token was cut short or mistyped: its checksum does not fit; paste the whole of it")
    return [unquote(parts[1]), *parts[2:-1]]


def make(found: Found, lock: str, workers: int, rounds: int, line: int, steps: Sequence[Step]) -> Token:
    """Make the token of a schedule that took these steps."""
    turns = []
    taken = [step for step in steps if step.value != WAITS]
    for worker, group in groupby(taken, key=lambda step: step.worker):
        mine = list(group)
        turns.append(Turn(worker, len(mine), operations_of(mine)))
    kind = found.kind
    program = tuple(map(tuple, numbers_of(kind, kind.program))) if issubclass(kind, Operations) else ()
    return Token(where(found), lock, workers, rounds, line, fingerprint(found), tuple(turns), program)


def read(text: str) -> Token:
    """Return the pasted token. Raises UsageError for one that is cut short, mistyped, or of another version."""
    parts = text.strip().split(",")
    if parts[0] != VERSION:
        if re.fullmatch(r"L\d+", parts[0]):
            raise UsageError(f"the token is of version {parts[0]}, this lab reads {VERSION} and L2; {AGAIN}")
        raise UsageError(f"{text[:20]!r} is no token: they begin with {VERSION}, or L2,; {AGAIN}")
    scenario, lock, shape, line, mark, turns = parts_of(text, FIELDS)
    try:
        size, _, calls = shape.partition(":")
        workers, rounds = map(int, size.split("x"))
        program = tuple(tuple(map(int, mine.split("."))) for mine in calls.split("-") if mine)
        taken = tuple(_turn(each) for each in turns.split("+"))
        check_bounds(workers, rounds, int(line), sum(turn.steps for turn in taken))
        return Token(scenario, lock, workers, rounds, int(line), mark, taken, program)
    except ValueError as error:
        raise UsageError(f"the token says nothing sensible ({error}); {AGAIN}") from error


class OfScenario(Protocol):
    """A token, of which the scenario and the fingerprint of its file are known."""

    @property
    def scenario(self) -> str:
        """Return the name or the path."""

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint."""


def scenario_of(token: OfScenario) -> Found:
    """Return the scenario that the token was made of. Raises UsageError where it is gone, or has changed by now.

    A token may come from anywhere: the file that it names is run only where its text is that of the fingerprint.
    """
    file = scenario_file(token.scenario)
    if file and os.access(file, os.F_OK) and token.fingerprint not in _fingerprints(file):
        raise UsageError(f"scenario {token.scenario} {CHANGED}")  # and is not run to find out
    found = find_scenarios([token.scenario])[0]
    if fingerprint(found) != token.fingerprint:
        raise UsageError(f"scenario {token.scenario} {CHANGED}")
    return found


def with_calls(found: Found, token: Token) -> Found:
    """Return the scenario, with the calls of the token where it is one of operations. Raises UsageError if none fit."""
    kind = found.kind
    if not issubclass(kind, Operations) and not token.program:
        return found
    if not issubclass(kind, Operations) or len(token.program) != token.workers:
        raise UsageError(f"the token does not fit scenario {found.name}: it has other operations; {AGAIN}")
    try:
        return replace(found, kind=with_program(kind, filled(kind, token.program)))
    except IndexError:
        raise UsageError(f"the token does not fit scenario {found.name}: it has fewer operations; {AGAIN}") from None


def differs(token: Token, steps: Sequence[Step]) -> str:
    """Return where the steps are not those that the token was made of; empty where they are."""
    done = 0
    for turn in token.turns:
        mine = steps[done : done + turn.steps]
        if len(mine) < turn.steps or operations_of(mine) != turn.operations:
            return f"from step {done + 1:,} on, worker {turn.worker} does other operations than when the token was made"
        done += turn.steps
    return ""


def check_bounds(workers: int, rounds: int, line: int, steps: int) -> None:
    """Raise ValueError for more than a schedule can have: its memory is laid out before it is tried."""
    if not (0 < workers <= MOST_WORKERS and 0 < rounds <= MOST_STEPS and 0 < line <= MOST_LINE and steps <= MOST_STEPS):
        raise ValueError(f"{workers}x{rounds}, line {line}, {steps} steps: out of range")


def _turn(text: str) -> Turn:
    worker, _, rest = text.partition("x")
    steps, _, operations = rest.partition(".")
    if not 0 <= int(worker) <= MOST_WORKERS or not 0 < int(steps) <= MOST_STEPS:
        raise ValueError(f"{worker}x{steps}")
    return Turn(int(worker), int(steps), operations)


def where(found: Found) -> str:
    """Return the name of a built-in or installed scenario, or the path of its file; its own name where it has none."""
    if found.installed or found.path == Path():
        return found.name
    stem = found.name.partition(":")[0]
    kind = getattr(found.kind, "specified_by", None) or found.kind
    if stem in builtin_names() and find_scenarios([found.name])[0].kind is kind:
        return found.name
    path = found.path.resolve()
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    _, colon, variant = found.name.partition(":")
    return f"{path}{colon}{variant}"


def fingerprint(found: Found) -> str:
    """Return the fingerprint of the scenario's file and class; blank lines and lines of comment do not count."""
    return _fingerprint(found.kind.__qualname__, found.path)


def _fingerprint(name: str, path: Path) -> str:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):  # no file, or a compiled one
        lines = []
    code = [line.rstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return digest("\n".join([name, *code]), 8)


def _fingerprints(path: Path) -> set[str]:
    """Return the fingerprints of the classes in this file, which is not run; a file that is no Python has none."""
    import ast

    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {_fingerprint(name, path) for name in _class_names(tree, "")}


def _class_names(node: Any, within: str) -> Iterator[str]:
    """Return the qualified names of all classes in a syntax tree; one that is made by type() has none there."""
    import ast

    for inner in ast.iter_child_nodes(node):
        name = f"{within}{getattr(inner, 'name', '')}"
        if isinstance(inner, ast.ClassDef):
            yield name
            yield from _class_names(inner, f"{name}.")
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _class_names(inner, f"{name}.<locals>.")
        else:
            yield from _class_names(inner, within)


def operations_of(steps: Sequence[Step]) -> str:
    """Return the fingerprint of the operations of these steps."""
    return digest(" ".join(f"{step.operation}{step.start}-{step.length}" for step in steps), 3)


def digest(text: str, length: int) -> str:
    """Return so many hexadecimal digits that change with the text."""
    return blake2b(text.encode(), digest_size=8).hexdigest()[:length]
