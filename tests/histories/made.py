"""Histories of any length whose answer is known: an object is called at moments within random times."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from lab.histories.call import Call
from lab.histories.models import MODELS

Plan = Callable[[Random, int], tuple[str, tuple[Any, ...]]]

PLANS: dict[str, Plan] = {
    "register": lambda random, number: ("write", (number,)) if random.random() < 0.5 else ("read", ()),
    "cas": lambda random, number: random.choice([
        ("write", (random.randrange(5),)), ("read", ()), ("cas", (random.randrange(5), random.randrange(5))),
    ]),
    "log": lambda random, number: ("append", (number,)) if random.random() < 0.3 else ("read", ()),
    "counter": lambda random, number: ("add", ()) if random.random() < 0.7 else ("read", ()),
    "queue": lambda random, number: ("put", (number,)) if random.random() < 0.5 else ("take", ()),
    "stack": lambda random, number: ("push", (number,)) if random.random() < 0.5 else ("pop", ()),
    "map": lambda random, number: random.choice([("put", (number % 10, number)), ("get", (number % 10,))]),
}  # fmt: skip
"""How the calls on an object are chosen; no value is written twice, but for `cas`."""


WRITES = ("write", "append", "put", "push")


def made(
    kind: str, count: int, clients: int = 8, *, seed: int = 1, wrong: bool = False, crashes: float = 0
) -> list[Call]:
    """So many calls of clients that each make one after the other; `wrong` exchanges two results."""
    random = Random(f"{kind} {seed}")
    free = [random.random() for _ in range(clients)]
    planned = []
    for number in range(1, count + 1):
        client = min(range(clients), key=free.__getitem__)
        start = free[client]
        end = start + random.expovariate(1)
        free[client] = end + random.expovariate(1) * 0.1
        planned.append((start + random.random() * (end - start), start, end, client, *PLANS[kind](random, number)))
    state = MODELS.get(kind, MODELS["register"])()
    calls = [
        Call(client, name, args, getattr(state, name)(*args), int(start * 1e6), int(end * 1e6))
        for _, start, end, client, name, args in sorted(planned)
    ]
    if wrong and kind == "cas":  # few values: an exchange could still be explained
        calls[-1] = calls[-1]._replace(name="read", args=(), result=99)
    elif wrong:
        _spoil(calls)
    calls = [call._replace(end=None) if random.random() < crashes else call for call in calls]
    return sorted(calls, key=lambda call: call.start)


def _spoil(calls: list[Call]) -> None:
    """Exchange the results of the last read and of one long before it."""
    reads = [at for at, call in enumerate(calls) if call.result is not None and call.name not in WRITES]
    last = reads[-1]
    alike = [at for at in reads if calls[at].args == calls[last].args and calls[at].result != calls[last].result]
    early = alike[int(len(alike) * 0.7)]
    results = calls[last].result, calls[early].result
    calls[early], calls[last] = (
        calls[at]._replace(result=result) for at, result in zip((early, last), results, strict=True)
    )


def alike(calls: list[Call]) -> list[Call]:
    """The same calls with few values, which do not tell who wrote what: hard to judge."""

    def few(value: Any) -> Any:
        return value % 10 if isinstance(value, int) else value

    return [call._replace(args=tuple(map(few, call.args)), result=few(call.result)) for call in calls]


def json_lines(calls: list[Call]) -> str:
    """The history as a file has it."""
    return "".join(
        json.dumps({
            "process": call.process, "op": call.name, "args": call.args, "start_ns": call.start,
            **({} if call.end is None else {"end_ns": call.end, "result": call.result}),
        }) + "\n"
        for call in calls
    )  # fmt: skip
