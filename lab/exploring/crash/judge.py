"""Judge the file that is left after crashes and recovery, by the scenario's own check.

A round that was begun and not finished may count or not, each for itself: the check must hold for some choice (durable
linearizability: Izraelevitz, Mendes and Scott, DISC 2016). A unit of the file that may have several contents is decided
only once the check reads it; what nobody reads needs no decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from lab.errors import ScenarioError
from lab.exploring.operation import Operation, SteppedBytes
from lab.exploring.sandbox import guarded
from lab.exploring.worker import Shape
from lab.memory.struct_proxy import struct_proxy
from lab.model.disk import NO_VERSIONS, Disk, Versions
from lab.scenario import Damage, Outcome
from lab.scenario.base import Endless, broken_invariant, has_invariant, listed_damage

WHOLE = 1 << 20
"""A line so long that no access of a check is cut."""


class Image(NamedTuple):
    """A file as a crash may leave it: its content, and the units that may be otherwise, `open`, as zeros in it."""

    content: bytes
    open: tuple[tuple[int, frozenset[bytes]], ...] = ()

    @classmethod
    def of(cls, disk: Disk, content: bytes, versions: Versions) -> Image:
        """Return the image of which these units are open."""
        for number, each in versions.items():
            one = next(iter(each))
            content = disk.put(content, number, one if len(each) == 1 else bytes(len(one)))
        return cls(content, tuple(sorted((number, each) for number, each in versions.items() if len(each) > 1)))


class Rounds(NamedTuple):
    """The rounds that each worker has finished, and those that it has begun; the last one comes after a crash."""

    finished: tuple[int, ...]
    begun: tuple[int, ...]

    def and_last(self, finished: int, begun: int, *, relaxed: bool = False) -> Rounds:
        """Return these with those of the worker that comes after a crash."""
        return Rounds((*self.finished[:-1], 0 if relaxed else finished), (*self.begun[:-1], begun))


class Undecided(BaseException):
    """The check reads a unit whose content is not decided."""

    def __init__(self, unit: int) -> None:
        super().__init__(unit)
        self.unit = unit


Found = tuple[tuple[int, bytes], ...]


class Judge:
    """What is wrong with images; each is judged once."""

    def __init__(self, shape: Shape, disk: Disk) -> None:
        self._shape = shape
        self._disk = disk
        self._known: dict[tuple[Image, Rounds], tuple[list[Damage], Found]] = {}
        self._has_invariant = has_invariant(type(shape.scenario))

    def damage(self, image: Image, rounds: Rounds, seen: Sequence[tuple[str, str]]) -> tuple[list[Damage], Found]:
        """Return what is wrong whichever begun rounds count, and with which contents of the open units; else nothing.

        `seen` is what workers reported.
        """
        if seen:
            return self.reported(seen), ()
        key = image, rounds
        if key not in self._known:
            self._known[key] = self._decide(image, rounds)
        return self._known[key]

    def try_check(self, image: Image, rounds: Rounds) -> None:
        """Let the check judge a file that no crash has touched; raises ScenarioError where the check is at fault."""
        self._call_check(image.content, NO_VERSIONS, rounds.finished, rounds.begun)

    def reported(self, seen: Sequence[tuple[str, str]]) -> list[Damage]:
        """Return what workers reported as damage."""
        return [Damage(kind, 1, self._total, [text]) for kind, text in seen]

    @property
    def _total(self) -> int:
        return self._shape.workers * self._shape.rounds

    def _decide(self, image: Image, rounds: Rounds) -> tuple[list[Damage], Found]:
        waiting: list[tuple[bytes, dict[int, frozenset[bytes]], Found]] = [(image.content, dict(image.open), ())]
        while waiting:
            content, still_open, found = waiting.pop()
            try:
                damage = self._for_some_choice(content, still_open, rounds)
            except Undecided as which:
                rest = {number: each for number, each in still_open.items() if number != which.unit}
                for data in sorted(still_open[which.unit]):
                    decided = (*found, (which.unit, data))
                    waiting.append((self._disk.put(content, which.unit, data), rest, decided))
                continue
            if damage:
                return damage, found
        return [], ()

    def _for_some_choice(self, content: bytes, still_open: Versions, rounds: Rounds) -> list[Damage]:
        """Return nothing where the check holds for some choice of the begun rounds; else what is wrong for the last."""
        damage: list[Damage] = []
        for choice in product(*map(range, rounds.finished, (begun + 1 for begun in rounds.begun))):
            damage = self._checked(content, still_open, choice, rounds.begun)
            if not damage:
                return []
        return damage

    def _checked(
        self, content: bytes, still_open: Versions, rounds: Sequence[int], begun: Sequence[int]
    ) -> list[Damage]:
        try:
            return self._call_check(content, still_open, rounds, begun)
        except Endless:
            raise
        except ScenarioError as error:
            if still_open:  # perhaps only since the memory is not what the check expects: decide one more unit
                raise Undecided(min(still_open)) from error
            text = str(error).removesuffix("; fix the file").removeprefix("check raised ")
            return [Damage("check raised", 1, self._total, [text])]

    def _call_check(
        self, content: bytes, still_open: Versions, rounds: Sequence[int], begun: Sequence[int]
    ) -> list[Damage]:
        scenario, limit_s = self._shape.scenario, self._shape.limit_s

        def load(start: int, end: int) -> bytes:
            self._see_decided(still_open, start, end)
            return content[start:end]

        memory = self._memory(content, still_open)
        outcome = Outcome(sum(rounds), rounds, begun, self._shape.files_of(load))
        check = scenario.check
        found: list[Damage] = guarded("check", lambda: listed_damage(check(memory, outcome), check), limit_s)
        if self._has_invariant:
            found = found + guarded("invariant", lambda: broken_invariant(scenario, memory), limit_s)
        return [each for each in found if each.count]

    def _see_decided(self, still_open: Versions, start: int, end: int) -> None:
        """Raise Undecided where one of these bytes is in a unit that is open."""
        unit = self._disk.touched(still_open, start, end) if still_open else None
        if unit is not None:
            raise Undecided(unit)

    def _memory(self, content: bytes, still_open: Versions = NO_VERSIONS) -> Any:
        """Return the memory for the check; while units are open it is one that notices when they are read."""
        if not still_open:
            return self._shape.memory.from_buffer_copy(content)

        def look(operation: Operation) -> None:
            self._see_decided(still_open, operation.start, operation.end)

        place = SteppedBytes(bytearray(content), WHOLE, look)
        return struct_proxy(self._shape.memory, place, place.numbers)
