"""Define the records that the documents of all commands share."""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA = 2
"""This number rises whenever a reader of the old documents would misread a new one."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a run. It has no environment variables and no user names."""

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
class Document:
    """The fields that say how to read the rest of a document; each command's document is a subclass."""

    schema: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Document):
    """The header of every run: which command it was, when and where it ran, and whether it was interrupted."""

    started: str
    wall_s: float
    environment: Environment
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Damage:
    """Corruption of one kind over all trials: `count` of `of` operations, and the first few pieces of evidence."""

    kind: str
    count: int
    of: int
    evidence: list[str]
