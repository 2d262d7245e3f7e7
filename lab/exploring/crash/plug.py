"""Let a reader pull the plug: each moment of a scenario, each file that may be left then, and what recovery finds.

One worker runs alone, so that its steps are one line. A mistake is shown where one power failure brings it out; those
that need a second crash, a kill or a second worker are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import inf

from lab.exploring.operation import named, shown, value_of
from lab.exploring.simplify import world_of
from lab.exploring.trace import step_of, text_of
from lab.exploring.worker import Shape, shape_of
from lab.model.directory import Directory
from lab.model.disk import NO_VERSIONS, PAGE, Disk
from lab.records import Plug, Step, WhatIsFound, WhatIsLeft
from lab.scenario import Found, find_scenarios

from .judge import Image
from .left import changes, unit_name, what_was_done
from .recovery import LONGEST, Dead
from .search import Failure, Recovery, Search, State
from .story import Cause, Story

MOST_CHOICES = 300
"""The most files that may be left at a moment: as many as a person may try."""

ROUNDS = (1, 2)


def plugs() -> list[Plug]:
    """Return the scenarios of the gallery for crashes, each right one before its mistakes."""
    gallery = [found for found in find_scenarios([], counterexamples=True, crashes=True) if _is_of_gallery(found)]
    return [made for found in gallery if (made := _plug(found))]


def _is_of_gallery(found: Found) -> bool:
    return found.path.parent.name == "crash"


def _plug(found: Found) -> Plug | None:
    """Return it with the fewest rounds with which it breaks; a mistake that does not is left out."""
    breaks = ":" in found.name
    for rounds in ROUNDS if breaks else ROUNDS[:1]:
        made = _Plugged(found, rounds).made()
        if made and breaks == any(each.wrong >= 0 for each in made.found):
            return made
    return None


class _Plugged:
    """The states of one worker that runs alone, and what is found after a failure in each."""

    def __init__(self, found: Found, rounds: int) -> None:
        self._found = found
        self._shape = shape_of(found, "fcntl", 1, rounds, 64, crashes=True)
        self._search = self._searched(relaxed=False)
        self._relaxed = self._searched(relaxed=True)
        self._states = list(_states(self._search))
        self._contents = [self._search.disk.failed(state.content) for state in self._states]
        self._texts: dict[str, int] = {}
        self._found_at: dict[tuple[object, ...], int] = {}
        self._list: list[WhatIsFound] = []

    def _searched(self, *, relaxed: bool) -> Search:
        return Search(world_of(self._shape), "power", PAGE, 1, inf, relaxed=relaxed)

    def made(self) -> Plug | None:
        """Return the tables; None where a moment leaves too many files."""
        last = Failure([], self._states[-1])
        steps = self._places(Story(self._search, last, "half an update").steps)
        moments, left = [], []
        for number, state in enumerate(self._states):
            moment = self._left_at(number, state)
            if moment is None:
                return None
            if moment not in left:
                left.append(moment)
            moments.append(left.index(moment))
        return Plug(
            scenario=self._found.name,
            summary=self._found.summary,
            why=self._found.kind.why,
            rounds=self._shape.rounds,
            steps=steps,
            texts=list(self._texts),
            moments=moments,
            left=left,
            found=self._list,
        )

    def _left_at(self, number: int, state: State) -> WhatIsLeft | None:
        units = sorted(unit for unit, each in state.versions.items() if len(each) > 1)
        orders = [self._in_order(unit, number, state.versions[unit]) for unit in units]
        parts, count = [], 1
        for unit, order in zip(units, orders, strict=True):
            row = [self._place(part_name(self._shape, self._search.disk, unit))]
            for since, data in order:
                row += [self._place(self._text(unit, data)), since]
            parts.append(row)
            count *= len(order)
        if count > MOST_CHOICES:
            return None
        found = []
        for choice in product(*orders):
            image = self._contents[number]
            for unit, (_, data) in zip(units, choice, strict=True):
                image = self._search.disk.put(image, unit, data)
            found.append(self._place_found(self._what_is_found(number, state, image)))
        return WhatIsLeft(parts, found)

    def _in_order(self, unit: int, number: int, contents: frozenset[bytes]) -> list[tuple[int, bytes]]:
        """Return the contents that a unit may have, the oldest first, each with the last step after which it was so."""
        place = self._search.disk.place(unit)
        found: list[tuple[int, bytes]] = []
        for data in contents:
            since = max(n for n in range(number + 1) if self._contents[n][place] == data)
            first = next(n for n in range(since, -1, -1) if n == 0 or self._contents[n - 1][place] != data)
            found.append((first, data))
        return sorted(found)

    def _what_is_found(self, number: int, state: State, image: bytes) -> WhatIsFound:
        recovery = Recovery(Image(image), self._search.rounds(state), self._search.again, 1, state)
        failure = self._search.recovered(recovery, [])
        if failure is None:
            return WhatIsFound(-1, [], self._places(self._recovery(image)))
        story = Story(self._search, failure, self._cause(number, image, recovery))
        power = next(at for at, step in enumerate(story.steps) if step.operation == "power")
        reasons = [self._place(reason) for reason in story.reasons]
        return WhatIsFound(self._place(story.headline), reasons, self._places(story.steps[power + 1 :]))

    def _cause(self, number: int, image: bytes, recovery: Recovery) -> Cause:
        """Return why this file breaks: also with all on the disk, or as it was at some moment, or by the order."""
        everything = recovery._replace(image=Image(self._contents[number]))
        if self._search.recovered(everything, []):
            return "half an update"
        if image not in self._contents[: number + 1]:
            return "out of order"
        relaxed = recovery._replace(rounds=self._relaxed.rounds(recovery.state))
        return "half an update" if self._relaxed.recovered(relaxed, []) else "not durable"

    def _recovery(self, image: bytes) -> Iterator[Step]:
        behaviour = self._search.recoveries.behaviour(0)
        node, content = behaviour.root, bytearray(image)
        for _ in range(LONGEST):
            if node.operation is None:
                return
            met, following = behaviour.step_alone(node, content)
            yield step_of(self._shape.memory, self._shape.workers, node, met, "same")
            node = following

    def _place(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    def _places(self, steps: Iterable[Step]) -> list[int]:
        return [self._place(step_text(step)) for step in steps]

    def _place_found(self, found: WhatIsFound) -> int:
        key = found.wrong, tuple(found.reasons), tuple(found.steps)
        if key not in self._found_at:
            self._found_at[key] = len(self._list)
            self._list.append(found)
        return self._found_at[key]

    def _text(self, unit: int, data: bytes) -> str:
        """Return what is in a unit with this content: of the mapped file, the values of all that is stored there."""
        place, directory = self._search.disk.place(unit), self._shape.directory
        if directory and place.start >= directory.base:
            return _file_text(directory, place, data)
        memory = self._shape.memory
        texts = []
        for start, end in self._stored_into(place):
            name, kind = named(memory, start, end)
            texts.append(f"{name} = {shown(value_of(kind, data[start - place.start : end - place.start]))}")
        return ", ".join(texts)

    def _stored_into(self, place: slice) -> Sequence[tuple[int, int]]:
        operations = [before.at[0].operation for before in self._states[:-1]]
        stores = {(each.start, each.end) for each in operations if each and each.word == "store"}
        return sorted((start, end) for start, end in stores if place.start <= start and end <= place.stop)


def _states(search: Search) -> Iterator[State]:
    world = search.world
    state = State(tuple(each.root for each in world.behaviours), world.initial, 0, NO_VERSIONS)
    while True:
        yield state
        if state.at[0].operation is None or isinstance(state.at[0], Dead):
            return
        state = search.after(state, 0)


def part_name(shape: Shape, disk: Disk, unit: int) -> str:
    """Return what a unit is called: fields of the mapped file, a name of the directory, or what is of a file of it."""
    place, directory = disk.place(unit), shape.directory
    if not directory or place.start < directory.base:
        return unit_name(shape, disk, unit)
    number, what = directory.file_at(place.start)
    return f"{what} of file {number}" if number else f"the name {what}"


def _file_text(directory: Directory, place: slice, data: bytes) -> str:
    number, what = directory.file_at(place.start)
    if not number:
        return f"file {data[0]}" if data[0] else "no file"
    if what == "length":
        return f"{int.from_bytes(data, 'little')}"
    return text_of(data.rstrip(b"\0")) if any(data) else "zeros"


def step_text(step: Step) -> str:
    """Return a step as the tables have it: value -> 0, value = 1, lock value, rename old -> new."""
    if step.operation == "load":
        return f"{step.field} -> {shown(step.value)}"
    if step.operation == "read":
        return f"read {step.field} -> {step.value}"
    if changes(step):
        return what_was_done(step)
    refused = step.operation in ("create", "open", "rename", "unlink") and step.value
    return f"{step.operation} {step.field}{f' REFUSED: {step.value}' if refused else ''}"
