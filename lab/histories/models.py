"""The objects that the lab knows: each is a class with a method for each call, as a model of your own is.

A result of None is "nothing there". Names that other tools use are second names of the same calls.
"""

from __future__ import annotations

from typing import Any

from .automaton import freeze
from .call import Impossible


class Counter:
    """A number: `add` and `inc` add to it and return the sum, `read` returns it."""

    silent = ("add", "inc")
    only_reads = ("read", "get")

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int = 1) -> int:
        self.value += amount
        return self.value

    def read(self) -> int:
        return self.value

    inc = add
    get = read


class Log:
    """A list to which `append` adds a value; `read` returns all of it."""

    silent = ("append",)
    only_reads = ("read", "get")

    def __init__(self) -> None:
        self.values: tuple[Any, ...] = ()

    def append(self, value: Any) -> None:
        self.values += (value,)

    def read(self) -> tuple[Any, ...]:
        return self.values

    get = read


class Mutex:
    """A lock that one at a time can have: `acquire` returns where it is free, `release` where it is not."""

    silent = ("acquire", "lock", "release", "unlock")

    def __init__(self) -> None:
        self.held = False

    def acquire(self) -> None:
        if self.held:
            raise Impossible
        self.held = True

    def release(self) -> None:
        if not self.held:
            raise Impossible
        self.held = False

    lock = acquire
    unlock = release


class Stack:
    """Last in, first out: `push` adds a value, `pop` takes the one that was added last."""

    silent = ("push",)
    takes = ("pop",)

    def __init__(self) -> None:
        self.values: list[Any] = []

    def push(self, value: Any) -> None:
        self.values.append(value)

    def pop(self) -> Any:
        return self.values.pop() if self.values else None

    @staticmethod
    def only_reads(name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Return True for a `pop` that found nothing."""
        return name in Stack.takes and result is None


class Queue:
    """First in, first out: `put` adds a value, `take` takes the oldest."""

    silent = ("put", "enq", "enqueue")
    takes = ("take", "deq", "dequeue")

    def __init__(self) -> None:
        self.values: list[Any] = []

    def put(self, value: Any) -> None:
        self.values.append(value)

    def take(self) -> Any:
        return self.values.pop(0) if self.values else None

    enq = enqueue = put
    deq = dequeue = take

    @staticmethod
    def only_reads(name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Return True for a `take` that found nothing."""
        return name in Queue.takes and result is None


def _appended(before: Any, value: Any) -> Any:
    if isinstance(value, str) and (before is None or isinstance(before, str)):
        return (before or "") + value
    if before is None or isinstance(before, list | tuple):
        return (*(before or ()), value)
    raise Impossible


class Register:
    """One value: `write`, `read`, `cas(old, new)`, which says whether it was `old`, and `append`.

    `append` joins texts; of other values it makes a list. At first there is nothing.
    """

    silent = ("write", "append")

    def __init__(self) -> None:
        self.value: Any = None

    def write(self, value: Any) -> None:
        self.value = value

    def read(self) -> Any:
        return self.value

    def cas(self, old: Any, new: Any) -> bool:
        if freeze(self.value) != freeze(old):
            return False
        self.value = new
        return True

    def append(self, value: Any) -> None:
        self.value = _appended(self.value, value)

    @staticmethod
    def only_reads(name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Return True for `read`, and for a `cas` that changed nothing."""
        return name == "read" or (name == "cas" and result is False)


class Map:
    """Values by key: `put(key, value)`, `get(key)`, `cas(key, old, new)`, `append(key, value)`, `remove(key)`.

    Each key is an object of its own: a register. No call concerns two of them.
    """

    silent = ("put", "append", "remove")

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}

    def put(self, key: Any, value: Any) -> None:
        self.values[key] = value

    def get(self, key: Any) -> Any:
        return self.values.get(key)

    def cas(self, key: Any, old: Any, new: Any) -> bool:
        if freeze(self.values.get(key)) != freeze(old):
            return False
        self.values[key] = new
        return True

    def append(self, key: Any, value: Any) -> None:
        self.values[key] = _appended(self.values.get(key), value)

    def remove(self, key: Any) -> None:
        self.values[key] = None

    @staticmethod
    def part_of(name: str, args: tuple[Any, ...]) -> Any:
        """Return the key."""
        return args[0]

    @staticmethod
    def only_reads(name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Return True for `get`, and for a `cas` that changed nothing."""
        return name == "get" or (name == "cas" and result is False)


MODELS = {
    "register": Register,
    "map": Map,
    "log": Log,
    "counter": Counter,
    "queue": Queue,
    "stack": Stack,
    "mutex": Mutex,
}
"""The objects by name, in the order in which names of calls are matched with them."""
