"""What the documents of all commands have in common."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = 2
"""Raised whenever a reader of the old documents would misread a new one."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the run took place. No environment variables, no user names."""

    lab: str
    python: str
    recorder: str
    kernel: str
    machine: str
    cpu: str
    cpus: int
    cpus_allowed: int
    filesystem: str
    mount_options: str
    load_at_start: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The fields that say how to read the rest of a document."""

    schema: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Head):
    """The header of every run: which command it was, when and where it ran, and whether it was cut short."""

    started: str
    wall_s: float
    environment: Environment
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage of one kind over all trials: `count` of `of` operations, and the first few pieces of evidence."""

    kind: str
    count: int
    of: int
    evidence: list[str]
