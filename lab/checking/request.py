"""Read a request for a check: the guarantees that are judged, and the parts that run for them.

Which guarantees a part judges follows from its rules and races, which name their guarantee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import UsageError

from .guarantees import (
    BETWEEN_HOSTS,
    EXCLUSION,
    FENCING,
    FILES,
    GROUPS,
    GUARANTEES,
    PART_NAMES,
    PARTITION,
    RANDOM,
)
from .rules import RULES
from .stress.plan import PLAN, PLAN_ON_HOSTS
from .turns import JUDGED


def _judged_by_rules_of(part: str) -> tuple[str, ...]:
    """Return the guarantees that rules of this part may call safe; rules show too little about files."""
    judged = {rule.guarantee for rule in RULES if rule.part == part}
    return tuple(name for name in GUARANTEES if name in judged and name not in FILES)


_BY_MORE = {
    "probe": tuple(EXCLUSION),
    "turns": JUDGED,
    PARTITION: tuple(FENCING),
    "random": RANDOM,
    "stress": tuple(dict.fromkeys(entry.guarantee for entry in PLAN)),
}

PARTS = {part: _BY_MORE.get(part) or _judged_by_rules_of(part) for part in (*BETWEEN_HOSTS, *PART_NAMES)}
"""The parts of a check, and the guarantees that each may call safe."""

PARTS_ON_HOSTS = {
    **PARTS,
    "stress": tuple(dict.fromkeys(entry.guarantee for entry in PLAN_ON_HOSTS)),
}
"""The same of a check on several hosts."""


CUTTING = "--faults --cut 'COMMAND {}' --heal 'COMMAND {}'"
"""What a user types to have a host cut off."""


@dataclass(frozen=True, slots=True)
class Request:
    """The guarantees that are judged, the parts that run for them, and the guarantees that were named one by one."""

    guarantees: tuple[str, ...]
    parts: tuple[str, ...]
    named: frozenset[str]
    on_hosts: bool = False

    def judges_of(self, guarantee: str) -> list[str]:
        """Return the parts that run and must each have a finding before this guarantee may be called safe."""
        parts = PARTS_ON_HOSTS if self.on_hosts else PARTS
        return [part for part in self.parts if guarantee in parts[part]]


def request_for(only: Sequence[str], *, on_hosts: bool = False, cut: bool = False) -> Request:
    """Read the words of `only`: guarantees, groups of them, and parts; an empty list requests everything.

    Parts alone request every guarantee that they judge; guarantees alone run every part that judges one of them.
    Several hosts have other parts than one, and one more with `cut`, where a command can cut a host off. Raises
    UsageError for an unknown word, and for what only they have, or only that command shows.
    """
    there = PARTS_ON_HOSTS if on_hosts else {part: PARTS[part] for part in PART_NAMES}
    words = list(dict.fromkeys(word for each in only for word in _expanded(each)))
    for word in words:
        if word in (*BETWEEN_HOSTS, *FENCING) and not on_hosts:
            raise UsageError(f"--only {word}: takes several hosts (--hosts)")
        if word in (PARTITION, *FENCING) and not cut:
            raise UsageError(f"--only {word}: takes what cuts a host off: {CUTTING}")
    named = [word for word in words if word not in PARTS]
    parts = [word for word in there if word in words] or [
        part
        for part in there
        if not (on_hosts and part == "random")  # each call goes over a link: 3 programs a second, 40 on one host
        if cut or part != PARTITION
        if not named or part in ("rules", "faults") or {*named} & {*there[part]}
    ]
    wanted = named or [name for part in parts for name in there[part]]
    return Request(
        tuple(name for name in GUARANTEES if name in wanted),
        tuple(parts),
        frozenset(only) & frozenset(GUARANTEES),
        on_hosts,
    )


def _expanded(word: str) -> tuple[str, ...]:
    if word in GUARANTEES or word in PARTS:
        return (word,)
    if word in GROUPS:
        return GROUPS[word]
    if not word:
        raise UsageError("--only: an empty name; give guarantees or parts, as in --only posix,mapping")
    raise UsageError(
        f"--only {word}: there is no such guarantee or part; guarantees are {', '.join(GUARANTEES)}, "
        f"{', '.join(GROUPS)} stand for several, parts are {', '.join(PARTS)}"
    )
