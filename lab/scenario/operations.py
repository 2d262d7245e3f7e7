"""Define a structure by its operations: the lab makes the concurrent programs that call them.

Small programs are made by rising size, so the first that breaks is the smallest. A call that meets nobody else is the
specification: the class `Model` says what it gives, or, without one, the operation itself run alone on the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from itertools import product
from types import FunctionType
from typing import Any, ClassVar, Literal, Protocol, get_args, get_origin, get_type_hints

from lab.errors import ScenarioError, UsageError, error_line
from lab.histories.automaton import OfModel, Specification
from lab.histories.call import Call, call_text
from lab.memory.struct_proxy import Layout

from .base import Damage, Outcome, Scenario, Worker

Program = tuple[tuple[Call, ...], ...]
"""The calls of each worker, in their order."""


class Calling(Protocol):
    """What the worker of a world offers to `Operations` beyond `Worker`."""

    def call(self, number: int, make: Callable[[], Any]) -> None:
        """Make one call: `make` does the operation; its result and its moments go into the history.

        In a race `number` is its place in `calls_of`.
        """


class Operations(Scenario):
    """A structure in the file, and its operations: each public method whose first parameter is the worker, `w`.

    The other parameters of an operation say by their annotations what it is called with: `int` is a new value for each
    call, `Literal[1, 3]` each of these values, `bool` both. One that is called `me` is the worker's number. It returns
    None, a number, a text, bytes, or a tuple or list of them. What it does must be as if it happened at one moment
    between its beginning and its end.
    """

    Model: ClassVar[type[Any] | None] = None
    """The same operations without the worker, on plain Python: what each gives and changes when it is alone.

    Without it, the operation alone on the bytes of the file says that; then it must not keep notes in `w.local`.
    """

    calls: ClassVar[int] = 4
    """The most calls of a program that `explore` makes unless the user chooses."""

    alike: ClassVar[bool | None] = None
    """True where it makes no difference which worker makes which calls; None: where no operation asks who it is."""

    window_ns: ClassVar[int] = 2000
    """In a race a worker spins so long before each store, so that calls meet, unless the user chooses (`--window`)."""

    program: ClassVar[Program] = ()
    """The calls of each worker; the lab fills it in."""

    specified_by: ClassVar[type[Operations] | None] = None

    worlds = frozenset({"race", "explore", "replay"})
    rounds = 300
    holds_per_round = 8

    def work(self, w: Worker) -> None:
        """Make the next call of this worker's program, nothing where it has no more; in a race, one that is drawn."""
        calling: Any = w
        if not self.program:
            number = w.random.randrange(len(calls_of(type(self))))
            call = call_at(type(self), number, w.index, w.round * w.workers + w.index)
            calling.call(number, lambda: getattr(self, call.name)(w, *call.args))
        elif w.round < len(self.program[w.index]):
            call = self.program[w.index][w.round]

            def make() -> Any:
                result = getattr(self, call.name)(w, *call.args)  # by itself: `retries` tells what is alive meanwhile
                return check_result(type(self), call.name, result)

            calling.call(0, make)

    def check(self, memory: Any, outcome: Outcome) -> Damage | list[Damage]:
        """Find nothing: the results of the calls are judged."""
        return []


class Fresh:
    """The value that stands for a new number in each call."""

    def __repr__(self) -> str:
        return "a new value"


class Mine:
    """The value that stands for the number of the worker that calls."""

    def __repr__(self) -> str:
        return "the worker's number"


FRESH, MINE = Fresh(), Mine()
STEP = 10
"""New values are 10, 20, 30, so that nobody takes one for an index."""


def calls_of(kind: type[Operations]) -> tuple[Call, ...]:
    """Return every call that a program may make; FRESH stands for a new value, MINE for the worker's number.

    Raises UsageError for a class without operations, a parameter that does not say what it is called with, and
    operations that are not those of the model.
    """
    key: Any = kind
    return _calls_of(key)


@lru_cache(maxsize=64)
def _calls_of(kind: Any) -> tuple[Call, ...]:
    found = []
    _check_numbers(kind)
    operations = dict(_operations(kind))
    if not operations:
        raise UsageError(
            f"{kind.__qualname__} has no operations; define methods with the worker as their first parameter, such as "
            "put(self, w, item: int)"
        )
    for name, method in operations.items():
        found += [Call(0, name, args) for args in product(*_options(kind, name, method))]
    _check_model(kind, set(operations))
    return tuple(found)


def _check_numbers(kind: type[Operations]) -> None:
    for name, least in (("calls", 2), ("window_ns", 0)):
        value: Any = getattr(kind, name)
        if not isinstance(value, int) or value < least:
            raise UsageError(f"{kind.__qualname__}.{name} is {value!r}; give a whole number from {least}")


def _operations(kind: type[Operations]) -> Iterator[tuple[str, FunctionType]]:
    """Yield the public methods that take a worker, in the order in which they are defined, base classes first."""
    known = set(dir(Operations))
    names = [name for each in reversed(kind.__mro__) for name in vars(each)]
    for name in dict.fromkeys(names):
        method = getattr(kind, name, None)
        if name.startswith("_") or name in known or not isinstance(method, FunctionType):
            continue
        if _parameters(method)[:1] != ("w",):
            continue
        if method.__code__.co_flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR):
            raise UsageError(
                f"{kind.__qualname__}.{name}: has a yield, or is async; let an operation return its result"
            )
        yield name, method


def _parameters(method: FunctionType) -> tuple[str, ...]:
    """Return the names of the parameters after self."""
    return method.__code__.co_varnames[1 : method.__code__.co_argcount]


def _options(kind: type[Operations], name: str, method: FunctionType) -> Iterator[Sequence[Any]]:
    for parameter in _parameters(method)[1:]:
        options = [MINE] if parameter == "me" else _values(_annotation(method, parameter))
        if not options:
            raise UsageError(
                f"{kind.__qualname__}.{name}: parameter {parameter} does not say what it is called with; annotate "
                "it with int (a new value for each call), bool, or Literal[...] (each of these)"
            )
        if len(set(options)) < len(options):
            raise UsageError(
                f"{kind.__qualname__}.{name}: {parameter} has two values that Python takes for one, such as 1 "
                "and True; leave one out"
            )
        yield options


def _annotation(method: FunctionType, name: str) -> Any:
    """Return the annotation of a parameter; None for one that is missing, or names what cannot be found."""

    class Only:
        __annotations__ = {key: value for key, value in method.__annotations__.items() if key == name}

    try:
        return get_type_hints(Only, globalns=method.__globals__).get(name)
    except Exception:
        return None


def _values(annotation: Any) -> Sequence[Any]:
    if annotation is int:
        return [FRESH]
    if annotation is bool:
        return [False, True]
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _check_model(kind: type[Operations], operations: set[str]) -> None:
    if kind.Model is None:
        return
    if not isinstance(kind.Model, type):
        raise UsageError(f"{kind.__qualname__}.Model is no class; give one with the same operations")
    for name in sorted(operations):
        if not callable(getattr(kind.Model, name, None)):
            raise UsageError(f"{kind.__qualname__}.Model has no {name}; give it the operations of {kind.__qualname__}")


PLAIN = frozenset({type(None), bool, int, float, str, bytes})
SEVERAL = (list, tuple, set, frozenset, dict)


def check_result(kind: type[Operations], name: str, result: Any) -> Any:
    """Return the result of an operation. Raises ScenarioError for one that cannot be recorded and compared."""
    if type(result) in PLAIN or (type(result) is tuple and PLAIN.issuperset(map(type, result))):
        return result
    try:
        odd = _odd(result)
    except RecursionError:
        odd = result
    if odd is not None:
        what = type(odd).__name__.removesuffix("Proxy")
        raise ScenarioError(
            f"{kind.__qualname__}.{name} returned a {what}, which cannot be recorded; return None, a "
            "number, a text, bytes, or a list or tuple of them (of an array of the file: list(...))"
        )
    return result


def _odd(value: Any) -> Any:
    """Return what is no plain value in this one; None where all is."""
    kind = type(value)
    if kind in PLAIN:
        return None
    if kind not in SEVERAL:
        return value
    parts = [*value.keys(), *value.values()] if kind is dict else value
    return next((odd for odd in map(_odd, parts) if odd is not None), None)


WHO = {"index", "random", "me"}
"""What an operation asks who it is by; `me` is a parameter."""

NOTES = {"local", "index", "random"}
"""What an operation that runs alone, without a model, has none of."""


def asks(kind: type[Operations], names: set[str]) -> bool:
    """Return True where some method of the class mentions one of these names, or is `me` among its parameters."""
    methods = [each for base in kind.__mro__ if issubclass(base, Operations) for each in vars(base).values()]
    codes = [each.__code__ for each in methods if isinstance(each, FunctionType) and each.__module__ != __name__]
    return any(names & {*code.co_names, *code.co_varnames[: code.co_argcount]} for code in codes)


def programs(kind: type[Operations], operations: int, workers: Sequence[int]) -> Iterator[Program]:
    """Yield each program of so many operations by so many workers, each of whom makes one call at least.

    Of programs that differ only in which worker does what there is one, where the workers are alike.
    """
    calls = calls_of(kind)
    alike = not asks(kind, WHO) if kind.alike is None else kind.alike
    for count in sorted(set(workers)):
        for shares in _shares(operations, count, operations, falling=alike):
            seen = set()
            for flat in product(range(len(calls)), repeat=operations):
                parts, at = [], 0
                for share in shares:
                    parts.append(flat[at : at + share])
                    at += share
                program = tuple(sorted(parts, key=lambda part: (-len(part), part)) if alike else parts)
                if program not in seen:
                    seen.add(program)
                    yield filled(kind, program)


def _shares(operations: int, workers: int, most: int, *, falling: bool) -> Iterator[tuple[int, ...]]:
    """Yield how many operations each worker may have, one at least; if `falling`, none has fewer than the next."""
    if not workers:
        if not operations:
            yield ()
        return
    for mine in range(min(most, operations - workers + 1), 0, -1):
        for rest in _shares(operations - mine, workers - 1, mine if falling else most, falling=falling):
            yield mine, *rest


def filled(kind: type[Operations], numbers: Sequence[Sequence[int]]) -> Program:
    """Return the program whose calls have these places in `calls_of`, with new values put in."""
    calls = calls_of(kind)
    value = 0

    def argument(given: Any, me: int) -> Any:
        nonlocal value
        if given is MINE:
            return me
        if given is not FRESH:
            return given
        value += STEP
        return value

    def call(number: int, me: int) -> Call:
        made = calls[number]
        return Call(me, made.name, tuple(argument(each, me) for each in made.args))

    return tuple(tuple(call(number, me) for number in mine) for me, mine in enumerate(numbers))


def call_at(kind: type[Operations], number: int, me: int, place: int) -> Call:
    """Return the call with this place in `calls_of`, with new values put in that no call at another `place` has."""
    made = calls_of(kind)[number]
    values = iter(range(STEP * (1 + place * len(made.args)), 1 << 62, STEP))
    args = [next(values) if each is FRESH else me if each is MINE else each for each in made.args]
    return Call(me, made.name, tuple(args))


def numbers_of(kind: type[Operations], program: Program) -> list[list[int]]:
    """Return the places in `calls_of` of a program's calls: what `filled` makes a program of."""
    calls = calls_of(kind)

    def fits(call: Call, made: Call) -> bool:
        pairs = zip(call.args, made.args, strict=True)
        return call.name == made.name and all(given in (FRESH, MINE) or given == had for given, had in pairs)

    return [[next(i for i, call in enumerate(calls) if fits(call, made)) for made in mine] for mine in program]


def with_program(kind: type[Operations], program: Program) -> type[Operations]:
    """Return the scenario in which the workers make these calls; round n of a worker is its n-th call."""
    base = kind.specified_by or kind
    return type(
        base.__name__,
        (base,),
        {"program": program, "specified_by": base, "__module__": base.__module__, "__qualname__": base.__qualname__},
    )


def specification_of(kind: type[Operations], memory: Any = None) -> Specification:
    """Return what the calls of this class give one at a time, on this `memory` where it has no model.

    Raises UsageError and ScenarioError as it is asked.
    """
    calls_of(kind)
    if kind.Model:
        return OfModel(kind.Model)
    if asks(kind, NOTES) or kind.start is not Scenario.start:
        raise UsageError(
            f"{kind.__qualname__}: without a Model its operations run alone to say what they give; they cannot use "
            "start, w.local, w.index or w.random there. Give it a Model, and a parameter `me` for the worker's number"
        )
    return Alone(kind, memory or kind.Memory)


class Alone:
    """The specification without a model: one worker alone on the bytes of the file. A state is what the file holds."""

    def __init__(self, kind: type[Operations], memory: Any) -> None:
        self._scenario = kind()
        self._scenario.Memory = self._memory = memory
        self._layout = Layout(memory)

    def initial(self) -> bytes:
        """Return what the file holds at first."""
        content = bytearray(self._layout.size)
        self._scenario.prepare(self._memory.from_buffer(content))
        return bytes(content)

    def apply(self, state: bytes, name: str, args: tuple[Any, ...]) -> tuple[Any, bytes]:
        """Return the result on these bytes, and the bytes after it. Raises ScenarioError where the call raises."""
        content = bytearray(state)
        worker = AloneWorker(self._memory.from_buffer(content), self._layout, content)
        try:
            result = getattr(self._scenario, name)(worker, *args)
        except Exception as error:
            called = f"{type(self._scenario).__qualname__}.{call_text(Call(0, name, args))}"
            raise ScenarioError(
                f"{called} raised where it ran alone: {error_line(error)}; fix it, or give the class a Model"
            ) from error
        return check_result(type(self._scenario), name, result), bytes(content)

    def key(self, state: bytes) -> bytes:
        """Return the bytes."""
        return state

    def only_reads(self, name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Return False: any call may change them."""
        return False

    def part_of(self, name: str, args: tuple[Any, ...]) -> None:
        """Return None: each call may concern all bytes."""


class AloneWorker:
    """A worker that nobody disturbs: its locks are granted at once, and it keeps no notes."""

    index = round = 0
    workers = rounds = 1

    def __init__(self, memory: Any, layout: Layout, content: bytearray) -> None:
        self.memory = memory
        self._layout = layout
        self._content = content

    def write_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> AbstractContextManager[object]:
        """See `lab.Worker.write_lock`."""
        return nullcontext()

    read_lock = write_lock

    def bytes(self, field: Any, index: int | None = None, count: int = 1) -> memoryview:
        """See `lab.Worker.bytes`."""
        start, length = self._layout.extent(field, index, count)
        return memoryview(self._content)[start : start + length]

    def sync(self, field: Any = None, index: int | None = None, count: int = 1) -> None:
        """See `lab.Worker.sync`."""

    def pause(self) -> None:
        """See `lab.Worker.pause`."""
