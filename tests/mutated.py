"""Results documents as somebody may send them: valid ones of every command, changed at random places."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from lab.records import Document, encode
from tests.report import checked_records, chosen_records, explored_records, plots_records, records, toured_records
from tests.report.page import recordings

Path = tuple[str | int, ...]

STRINGS = [
    "", " ", "\n", "\x1b[31mX\x1b[0m", "\x9b31m",
    "</script><img src=x onerror=alert(1)>", "\ud800", "a" * 5000, "fcntl",
    "none", "clean", "damaged", "counter", "unsafe", "safe", "\u202e", "$x ${y}", "\\", "|", "%s", "0", "-1", "../../x",
    "\x00", "$\\frac{a}{b}$", "$", "_{", "é" * 300, "{0}", "eJwDAAAAAAE=",
]  # fmt: skip
INTS = [
    0, 1, -1, 2, 7, 255, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, -(10**30), 10**400,
]  # fmt: skip
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 1e-320, 0.5, 1e18, 1.7976931348623157e308]
OTHER: list[Any] = [None, True, False, [], {}, [[]], [None], "x", 5, 1.5]
RAW = [b"9", b"-", b"e", b"1e999", b"NaN", b"Infinity", b"\\ud800", b"\\u0000", b"[" * 2000, b'{"a":' * 2000]


def documents() -> dict[str, bytes]:
    """One document of every command that has one, as it is written."""
    recorded = replace(recordings.LOST, program="./their program")
    made: dict[str, Document] = {
        "race": records.run_of(recorded, recordings.held(20), records.DAMAGED, records.TWO_IN, records.DIED),
        "bench": plots_records.bench_of(
            plots_records.alone("fcntl", 900.0),
            plots_records.queue("fcntl", 2, 2000.0, holds=plots_records.taking_turns(2)),
        ),
        "explore": explored_records.exploration_of(explored_records.BROKEN, explored_records.HOLDS),
        "replay": explored_records.REPRODUCED,
        "check": checked_records.check_of(
            checked_records.guarantee("posix", "unsafe", "rule 3"),
            rules=[checked_records.rule(3, "posix", "unsafe")],
            random=checked_records.programs(checked_records.difference("posix")),
            stress=[checked_records.race("pread")],
        ),
        "locks": chosen_records.compared(chosen_records.cells("fcntl")),
        "tour": toured_records.tour_of(toured_records.step(toured_records.seen("load", "'a'"))),
    }
    return {name: encode(document) for name, document in made.items()}


class Mutator:
    """Changes one document after the other; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._raw = documents()
        self._plain = {name: json.loads(raw) for name, raw in self._raw.items()}

    def one(self, name: str) -> tuple[bytes, str]:
        """A document that was this one, and what was done to it."""
        if self._random.random() < 0.15:
            return self._bytes(bytearray(self._raw[name])), "bytes"
        document = copy.deepcopy(self._plain[name])
        done = []
        for _ in range(self._random.choice([1, 1, 1, 2, 3, 8])):
            path = self._random.choice([path for path in _places(document) if path])
            done.append(self._change(document, path))
        return json.dumps(document).encode("utf-8", "surrogatepass"), "; ".join(done)

    def _change(self, document: Any, path: Path) -> str:
        parent = _at(document, path[:-1])
        if isinstance(parent, dict) and self._random.random() < 0.06:
            del parent[path[-1]]
            return f"without {path}"
        new = self._random.choice(OTHER) if self._random.random() < 0.15 else self._like(parent[path[-1]])
        parent[path[-1]] = new
        return f"{'.'.join(map(str, path))}={str(new)[:60]!r}"

    def _like(self, value: Any) -> Any:
        """Another value of the same type, as a rule."""
        pick = self._random.choice
        match value:
            case bool():
                return not value
            case int():
                return pick([*INTS, value + 1, value - 1, -value, value * 1000])
            case float():
                return pick([*FLOATS, -value, value * 1e6, value / 1e9])
            case str():
                return pick([*STRINGS, value[:1], value * 3, value[::-1]])
            case list():
                others = [self._like(each) for each in value[:50]]
                shorter, longer = [[], value[:1], value[1:]], [value * 2, (value * 400)[:4000]]
                return pick([*shorter, *longer, value[::-1], others, value[:1] * len(value)])
            case dict():
                return {key: self._like(each) if self._random.random() < 0.3 else each for key, each in value.items()}
        return pick(OTHER)

    def _bytes(self, raw: bytearray) -> bytes:
        pick = self._random.randrange
        for _ in range(self._random.choice([1, 1, 2, 5])):
            at = pick(len(raw) or 1)
            match pick(6):
                case 0 if raw:
                    raw[at] ^= 1 << pick(8)
                case 1:
                    del raw[at:]
                case 2:
                    raw[at:at] = self._random.randbytes(pick(8))
                case 3:
                    del raw[at : at + pick(60)]
                case 4:
                    raw[at:at] = raw[at : at + pick(300)]
                case _:
                    raw[at : at + 1] = self._random.choice(RAW)
        return bytes(raw)


def _places(node: Any, path: Path = ()) -> Iterator[Path]:
    inner: Any = node.items() if isinstance(node, dict) else enumerate(node[:50]) if isinstance(node, list) else ()
    for key, value in inner:
        yield from _places(value, (*path, key))
    yield path


def _at(node: Any, path: Path) -> Any:
    for key in path:
        node = node[key]
    return node
