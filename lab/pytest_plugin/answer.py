"""What comes back from the process that raced."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lab.results import Exploration, Run, encode


@dataclass(frozen=True, slots=True)
class Raced:
    """The document of a race; `name` is what the command line finds the scenario by, empty where nobody needs it.

    `manner` is what the workers did where they met too seldom by themselves (`lab.pytest_plugin.manner`), and `raced_s`
    how many seconds the race took that is told.
    """

    run: Run
    name: str
    manner: str = ""
    raced_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Explored:
    """The document of an exploration; `name` as in `Raced`."""

    run: Exploration
    name: str


def written(answer: Raced | Explored) -> bytes:
    """The answer as JSON."""
    head: dict[str, object] = {"name": answer.name}
    if isinstance(answer, Raced):
        head |= {"manner": answer.manner, "raced_s": answer.raced_s}
    return json.dumps(head)[:-1].encode() + b', "run": ' + encode(answer.run) + b"}"
