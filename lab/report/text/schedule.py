"""Write a schedule as a table: a column for each worker and one for the memory, a row for each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter

from lab.records import Step
from lab.report.format import Column, Table, wrapped

SHOWN_BYTES = 4

NOTATION = (
    ("x -> 0", "loads 0 from x"),
    ("x = 1", "stores 1 to x"),
    ("lock x", "acquires the lock on x, (shared) with other readers"),
    ("unlock x", "releases it"),
    ("waits", "for a lock that another worker holds"),
    ("switch >", "another worker goes on, though the last one could"),
    (">", "another worker goes on, as the last one cannot"),
)
NOTATION_OF_CALLS = (
    ("tries again", "would read the same until another stores something"),
    ("touches nothing", "a call that neither loads nor stores nor locks"),
)
NOTATION_OF_CRASHES = (
    ("create x", "makes a file of that name, or empties the one that is there"),
    ("rename x", "gives the file the new name, in place of what has it"),
    ("sync x", "waits until x is on the disk, with all on its page"),
    ("KILLED", "the worker ends; its stores stay, its locks are free"),
    ("POWER FAILS", "all end; what is old on the disk is in the last column"),
)
TURNS = {"preempted": "switch >", "free": ">", "same": ""}
"""The notation of a schedule; the page has the same in all its sections, for a field x."""


def columns(steps: Sequence[Step], last: int | None = None) -> str:
    """Return the steps of all workers side by side; adjoining pieces of one long access are one row.

    Worker `last`, if given, is the one that comes after a crash.
    """
    workers = sorted({step.worker for step in steps if step.worker >= 0})
    titles = ["the next one" if each == last else f"worker {each}" for each in workers]
    places: list[Column[list[str]]] = [
        Column("step", itemgetter(0), key=True),
        Column("", itemgetter(1), left=True, key=True),
    ]
    for at, title in enumerate([*titles, "memory"], 2):
        places.append(Column(title, itemgetter(at), left=True, fold=10))
    rows, alive = [], [each for each in workers if each != last]
    for group in groups(steps):
        rows.append(_step_row(group, workers, alive))
        alive = [last] if last is not None and group[0][1].operation == "power" else alive
    return Table(places, rows, padding=2).render()


RESULTS = {"read": " -> ", "write": " ", **dict.fromkeys(("create", "open", "rename", "unlink"), " REFUSED: ")}
"""The calls on files and names, and what stands before the value of each."""

SYNC_OF_FILES = "waits until the file is on the disk; of the directory, its names"


def uses_names(steps: Sequence[Step]) -> bool:
    """Return True where the workers use files by their names."""
    return any(step.operation in RESULTS for step in steps)


CRASHES = {"killed": "KILLED", "power": "POWER FAILS"}


def legend(steps: Sequence[Step]) -> str:
    """Return what the signs of these steps mean, those that occur."""
    signs = {f"{step.operation} x" for step in steps} | {TURNS[step.turn] for step in steps[1:]}
    signs |= {"tries again" for step in steps if step.operation == "pause"}
    signs |= {"touches nothing" for step in steps if step.operation == "nothing"}
    signs |= {"x -> 0" for step in steps if step.operation == "load"}
    signs |= {"x = 1" for step in steps if step.operation == "store"}
    signs |= {"waits" for step in steps if step.value in ("waits", "gives up")}
    signs |= {CRASHES[step.operation] for step in steps if step.operation in CRASHES}
    meanings = dict((*NOTATION, *NOTATION_OF_CALLS, *NOTATION_OF_CRASHES))
    if uses_names(steps):
        meanings["sync x"] = SYNC_OF_FILES
    return wrapped("; ".join(f"{sign}: {meaning}" for sign, meaning in meanings.items() if sign in signs))


def groups(steps: Sequence[Step]) -> Iterator[list[tuple[int, Step]]]:
    """Yield steps with their numbers from 1; pieces of one access that were not interrupted form one group."""
    group: list[tuple[int, Step]] = []
    for number, step in enumerate(steps, 1):
        if group and not _goes_on(group[-1][1], step):
            yield group
            group = []
        group.append((number, step))
    if group:
        yield group


def _goes_on(one: Step, following: Step) -> bool:
    return (
        following.turn == "same"
        and one.operation == following.operation in ("load", "store")
        and one.start <= following.start + following.length
        and following.start <= one.start + one.length
        and (isinstance(one.value, str) or isinstance(following.value, str))
        and one.round == following.round
    )


def _step_row(group: list[tuple[int, Step]], workers: Sequence[int], alive: Sequence[int]) -> list[str]:
    """Return the row of a group; a power failure ends those that are `alive`."""
    numbers = [number for number, _ in group]
    steps = [step for _, step in group]
    first = steps[0]
    number = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
    mark = TURNS[first.turn if numbers[0] > 1 and first.operation not in CRASHES else "same"]
    if first.operation == "power":
        ends = [CRASHES["power"] if each in alive else "" for each in workers]
        return [number, "", *ends, f"on the disk: {first.value}"]
    cells = [_cell(steps) if each == first.worker else "" for each in workers]
    return [number, mark, *cells, _memory(steps)]


def _cell(steps: Sequence[Step]) -> str:
    """Return the text of a step: `value -> 0`, `value = 1`, `lock value`, `unlock value`."""
    first = steps[0]
    name = _name(steps)
    if first.operation == "killed":
        return CRASHES["killed"]
    if first.operation == "load":
        return f"{name} -> {_value(steps)}"
    if first.operation == "store":
        return f"{name} = {_value(steps)}"
    if first.operation in RESULTS:
        return f"{first.operation} {name}{RESULTS[first.operation]}{first.value}" if first.value else _call(first)
    if first.operation == "nothing":
        return "touches nothing"
    if first.operation == "pause":
        return "tries again" if first.value is None else "tries again for ever"
    suffixes = {
        "exclusive": "",
        "shared": " (shared)",
        "EDEADLK": " REFUSED (EDEADLK)",
        "waits": " WAITS",
        "gives up": " WAITS (shared lost)",
        None: "",
    }
    return f"{first.operation} {name}{suffixes.get(first.value if isinstance(first.value, str) else None, '')}"


def _call(step: Step) -> str:
    return f"{step.operation} {step.field}"


def _bytes(step: Step) -> bytes:
    """Return the bytes that the step loaded or stored; one byte is recorded as a number."""
    return bytes.fromhex(step.value) if isinstance(step.value, str) else bytes([int(step.value or 0) % 256])


def _memory(steps: Sequence[Step]) -> str:
    """Return what the memory holds after a store; empty where it did not change."""
    return f"{_name(steps)} {_value(steps)}" if steps[0].operation == "store" else ""


def _name(steps: Sequence[Step]) -> str:
    """Return the name of the bytes: `record[64:128]`; of several pieces from the first to the last."""
    if len(steps) == 1:
        return steps[0].field
    first = min(steps, key=lambda step: step.start).field
    last = max(steps, key=lambda step: step.start + step.length).field
    head, _, low = first.rpartition("[")
    tail, _, high = last.rpartition("[")
    if head and head == tail:
        end = high.removesuffix("]").partition(":")
        return f"{head}[{low.removesuffix(']').partition(':')[0]}:{end[2] or int(end[0]) + 1}]"
    return f"{first} to {last}"


def _value(steps: Sequence[Step]) -> str:
    """Return numbers unchanged; of bytes the one value that they all have, or the first few."""
    value = steps[0].value
    if len(steps) == 1 and not isinstance(value, str):
        return f"{value}"
    start = min(step.start for step in steps)
    data = bytearray(max(step.start + step.length for step in steps) - start)
    for step in steps:
        data[step.start - start : step.start - start + step.length] = _bytes(step)
    if data.count(data[0]) == len(data):
        return f"{len(data):,} x {data[0]:02x}"
    more = f".. ({len(data):,} B)" if len(data) > SHOWN_BYTES else ""
    return data[:SHOWN_BYTES].hex(" ") + more
