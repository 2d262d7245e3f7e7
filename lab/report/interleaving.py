"""A schedule as a table: a column a worker and one for the memory, a row a step, the switches marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from lab.results import Step

SHOWN_BYTES = 4


def columns(steps: Sequence[Step]) -> str:
    """The steps of all workers side by side; adjoining pieces of one long access are one row."""
    workers = sorted({step.worker for step in steps})
    rows = [_row(group, workers) for group in groups(steps)]
    head = ["step", "", *(f"worker {each}" for each in workers), "memory"]
    align = ["right", "left", *("left" for _ in workers), "left"]
    return tabulate(rows, headers=head, tablefmt="simple", disable_numparse=True, colalign=align)


def groups(steps: Sequence[Step]) -> Iterator[list[tuple[int, Step]]]:
    """Steps with their numbers from 1, those together that are pieces of one access and were not cut apart."""
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


def _row(group: list[tuple[int, Step]], workers: Sequence[int]) -> list[str]:
    numbers = [number for number, _ in group]
    steps = [step for _, step in group]
    first = steps[0]
    number = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
    mark = {"preempted": "switch >", "free": ">", "same": ""}[first.turn if numbers[0] > 1 else "same"]
    cells = [_cell(steps) if each == first.worker else "" for each in workers]
    return [number, mark, *cells, _memory(steps)]


def _cell(steps: Sequence[Step]) -> str:
    """`value -> 0`, `value = 1`, `lock value`, `unlock value`."""
    first = steps[0]
    name = _name(steps)
    if first.operation == "load":
        return f"{name} -> {_value(steps)}"
    if first.operation == "store":
        return f"{name} = {_value(steps)}"
    told = {
        "exclusive": "",
        "shared": " (shared)",
        "EDEADLK": " REFUSED (EDEADLK)",
        "waits": " WAITS",
        "gives up": " WAITS (shared lost)",
        None: "",
    }
    return f"{first.operation} {name}{told.get(first.value if isinstance(first.value, str) else None, '')}"


def _bytes(step: Step) -> bytes:
    """What the step met or stored; one byte is told as a number."""
    return bytes.fromhex(step.value) if isinstance(step.value, str) else bytes([int(step.value or 0) % 256])


def _memory(steps: Sequence[Step]) -> str:
    """What the memory holds after a store; nothing where it did not change."""
    return f"{_name(steps)} {_value(steps)}" if steps[0].operation == "store" else ""


def _name(steps: Sequence[Step]) -> str:
    """`record[64:128]`; of several pieces from the first to the last."""
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
    """Numbers as they are; of bytes the one value that they all have, or the first few."""
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
