"""Number the states of an object, so that the object is asked only once what a call does in a state.

An object is described by a `Specification`: a class with a method a call (`OfModel`), or anything else that can say
what a call gives in a state and which state follows. The states are values of its own; the search sees their numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Generator, Hashable
from copy import copy, deepcopy
from enum import Enum
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Any, Protocol

from lab.errors import UsageError, error_line

from .call import UNKNOWN, Call, Impossible, call_text

PLAIN = (int, str, bytes, bool, float, type(None))
HINTS = ("only_reads", "part_of", "silent")
NO_STATE = -1
"""The state after a call that cannot give this result."""


class Specification(Protocol):
    """What an object does with one call at a time."""

    def initial(self) -> Any:
        """Return the first state."""

    def apply(self, state: Any, name: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return the result of a call in a state, and the state after it; the state that is given stays as it is.

        Raises Impossible where the call cannot return in this state.
        """

    def key(self, state: Any) -> Hashable:
        """Return what is equal for states that behave alike."""

    def only_reads(self, name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Return True for a call that changes no state in which it gives this result."""

    def part_of(self, name: str, args: tuple[Any, ...]) -> Hashable | None:
        """Return which part of the object a call concerns; None for all of it. Calls of two parts never meet."""


class Parts(tuple[type, Any]):
    """A frozen dict or object: its class, which no value of a history can look like, and its frozen items."""

    __slots__ = ()

    def __repr__(self) -> str:
        kind, items = self
        if kind is dict:
            pairs = items if isinstance(items, tuple) else sorted(items, key=repr)
            return f"{{{', '.join(f'{key!r}: {value!r}' for key, value in pairs)}}}"
        return f"{kind.__name__}({', '.join(f'{key}={value!r}' for key, value in items[1])})"


class Frozen(Enum):
    """Values that Python takes for equal to others, or not to themselves, where JSON does not."""

    TRUE = "True"
    FALSE = "False"
    NAN = "nan"

    def __repr__(self) -> str:
        return self.value


def freeze(value: Any, *, ordered: bool = True) -> Hashable:
    """Return a hashable value that is equal for equal values of JSON.

    Lists and tuples are alike, and so are 1 and 1.0; true is no number; what is no number (NaN) equals itself. The keys
    of a dict count as they are and in their order: a state may depend on it. Unless they are `ordered` they are texts.
    """
    kind = type(value)
    if kind is bool:
        return Frozen.TRUE if value else Frozen.FALSE
    if kind is float and value != value:
        return Frozen.NAN
    if kind in PLAIN or kind is type:  # a type marks what is frozen already
        return value  # type: ignore[no-any-return]
    if kind in (list, tuple, deque):
        return tuple([freeze(each, ordered=ordered) for each in value])
    if isinstance(value, dict):
        if ordered:
            return Parts((dict, tuple([(freeze(key), freeze(each)) for key, each in value.items()])))
        return Parts((dict, frozenset((_key_text(key), freeze(each, ordered=False)) for key, each in value.items())))
    if kind in (set, frozenset):
        return frozenset(freeze(each, ordered=ordered) for each in value)
    own_hash: Any = kind.__hash__
    if own_hash is not None and own_hash is not object.__hash__:
        return value  # type: ignore[no-any-return]
    return Parts((kind, freeze(_attributes(value))))


KEYS = {True: "true", False: "false", None: "null"}


def _key_text(key: Any) -> Hashable:
    """Return a key of a dict as JSON has it."""
    if type(key) in (bool, type(None)):
        return KEYS[key]
    return repr(key) if type(key) in (int, float) else freeze(key)


def _attributes(value: Any) -> dict[str, Any]:
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) if hasattr(value, name)]
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots}}


def copied(value: Any) -> Any:
    """Return a copy that shares nothing that can change; quick for what states are usually made of."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is tuple:
        return tuple([each if type(each) in PLAIN else copied(each) for each in value])
    if kind is list:
        return [each if type(each) in PLAIN else copied(each) for each in value]
    if kind is dict:
        return {key: each if type(each) in PLAIN else copied(each) for key, each in value.items()}
    return deepcopy(value)


def _is_named(name: str, args: tuple[Any, ...], result: Any, *, names: Collection[str]) -> bool:
    return name in names


def _arguments(takes: Signature) -> str:
    """Return how many arguments a method takes besides its object; empty where a number does not tell."""
    own = list(takes.parameters.values())[1:]
    if any(each.kind not in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for each in own):
        return ""
    least = sum(each.default is Parameter.empty for each in own)
    number = f"{len(own)}" if least == len(own) else f"{least} to {len(own)}"
    return f"{number} argument{'s' * (len(own) != 1)}"


class OfModel:
    """The specification that is a class: it is made without arguments, and each call is a method of its name.

    `only_reads`, optional, is a tuple of the names of calls that never change it, or a function of name, arguments and
    result that says so; `part_of`, optional, a function of name and arguments. Raises UsageError where the class cannot
    be made.
    """

    def __init__(self, model: type) -> None:
        self.model = model
        says = getattr(model, "only_reads", ())
        self._only_reads: Callable[..., bool] = says if callable(says) else partial(_is_named, names=says)
        self._part_of = getattr(model, "part_of", None)
        self._check_hints()
        self._shared = self._shared_values()
        try:
            model()
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"model {model.__name__}: cannot be made without arguments ({error_line(error)}); fix it"
            ) from error

    def _check_hints(self) -> None:
        """Raise UsageError for hints that are no such thing."""
        for name in HINTS:
            says = getattr(self.model, name, ())
            if not callable(says) and not isinstance(says, tuple | list | set | frozenset):
                expected = "a static method of name and arguments" if name == "part_of" else "a tuple of names of calls"
                raise UsageError(f"model {self.model.__name__}: {name} is {says!r}; make it {expected}")

    def _shared_values(self) -> list[Hashable]:
        """Return what the class has for all its objects together, of what can change."""
        mro = self.model.__mro__
        own = [each for kind in mro for name, each in vars(kind).items() if not name.startswith("__")]
        return [freeze(each) for each in own if isinstance(each, list | dict | set | bytearray | deque)]

    def _asked(self, name: str, hint: Callable[..., Any], *given: Any) -> Any:
        """Return what a hint says. Raises UsageError where it raises."""
        try:
            return hint(*given)
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"model {self.model.__name__}: {name} raised {error_line(error)}; make it a static method of name, "
                f"arguments{' and result' * (name == 'only_reads')}"
            ) from error

    def names(self) -> list[str]:
        """Return the names of the calls that it has."""
        public = [name for name in dir(self.model) if not name.startswith("_") and name not in HINTS]
        return [name for name in public if callable(getattr(self.model, name))]

    def recorded(self, call: Call) -> Call:
        """Return the call as it is judged: a result that says no more than "done" is unknown, where the model says so.

        `silent`, optional, is a tuple of the names of calls of which many programs record no result.
        """
        done = call.result is None or call.result is True or call.result == "ok"
        return call._replace(result=UNKNOWN) if done and call.name in getattr(self.model, "silent", ()) else call

    def misfit(self, name: str, args: tuple[Any, ...]) -> str:
        """Return why this cannot be called; empty where it can."""
        method = getattr(self.model, name, None) if name in self.names() else None
        if not callable(method):
            return f"{name!r} is no call of {self.model.__name__}, which has {', '.join(self.names()) or 'none'}"
        try:
            takes = signature(method)
        except ValueError:  # a builtin that has no signature
            return ""
        try:
            takes.bind(None, *args)
        except TypeError as error:
            counted = _arguments(takes)
            why = f" takes {counted}, has {len(args)}" if counted else f": {error}"
            return f"{name} of {self.model.__name__}{why}"
        return ""

    def initial(self) -> Any:
        """Return a new object."""
        return self.model()

    def apply(self, state: Any, name: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """Call the method of a copy. Raises UsageError for any exception but Impossible."""
        try:
            after = copy(state)
            if hasattr(state, "__dict__"):
                after.__dict__.update(copied(state.__dict__))
            else:
                after = deepcopy(state)
        except TypeError as error:
            raise UsageError(
                f"model {self.model.__qualname__}: its state cannot be copied ({error}); keep plain values in it"
            ) from error
        called = f"model {self.model.__name__}: {name}"
        try:
            result = getattr(after, name)(*copied(args))
        except Impossible:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"model {self.model.__name__}: {call_text(Call(0, name, args))} raised {error_line(error)}; return a "
                "result, or raise lab.calls.Impossible where it cannot return"
            ) from error
        if isinstance(result, Generator | Coroutine | AsyncGenerator):
            if isinstance(result, Coroutine):
                result.close()  # else Python warns that nobody awaited it
            raise UsageError(f"{called} has a yield, or is async; let it return its result")
        if self._shared and self._shared != self._shared_values():
            raise UsageError(f"{called} changes a value of the class, which all its objects share; make it in __init__")
        return result, after

    def key(self, state: Any) -> Hashable:
        """Return what tells states apart: the object where it has an __eq__ and a __hash__, else its attributes."""
        try:
            return freeze(state)
        except RecursionError:
            raise UsageError(
                f"model {self.model.__name__}: its state contains itself, or is nested too deeply; keep plain values"
            ) from None

    def only_reads(self, name: str, args: tuple[Any, ...], result: Any) -> bool:
        """Return what the model says. Raises UsageError where that raises."""
        return bool(self._asked("only_reads", self._only_reads, name, args, result))

    def part_of(self, name: str, args: tuple[Any, ...]) -> Hashable | None:
        """Return what the model says; None where it says nothing. Raises UsageError where that raises."""
        return freeze(self._asked("part_of", self._part_of, name, args)) if self._part_of else None


class Automaton:
    """The states of a specification by number, in the order in which they were first met, and its calls by class.

    Calls of one class have the same name, arguments and result. Raises UsageError where a call that is said to only
    read changes a state.
    """

    def __init__(self, specification: Specification) -> None:
        self.specification = specification
        self.states: list[Any] = []
        self.classes: list[tuple[str, tuple[Any, ...], Any]] = []
        self.reads: list[bool] = []
        self._results: list[Hashable] = []
        self._numbers: dict[Hashable, int] = {}
        self._class_of: dict[Hashable, int] = {}
        self._performed: dict[tuple[int, Hashable], tuple[Hashable, int]] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self.initial = self._number(specification.initial())

    def _number(self, state: Any) -> int:
        key = self.specification.key(state)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.states)
            self.states.append(state)
        return number

    def class_of(self, name: str, args: tuple[Any, ...], result: Any) -> int:
        """Return the number of the class of such calls."""
        frozen = result if result is UNKNOWN else freeze(result, ordered=False)
        key = (name, freeze(args), frozen)
        number = self._class_of.get(key)
        if number is None:
            number = self._class_of[key] = len(self.classes)
            self.classes.append((name, args, result))
            self.reads.append(self.specification.only_reads(name, args, result))
            self._results.append(frozen)
        return number

    def perform(self, state: int, name: str, args: tuple[Any, ...]) -> tuple[Hashable, int]:
        """Return the frozen result of a call in a state, and the state after it; Impossible where it cannot return."""
        key = (state, (name, freeze(args)))
        done = self._performed.get(key)
        if done is None:
            try:
                result, after = self.specification.apply(self.states[state], name, args)
                done = freeze(result, ordered=False), self._number(after)
            except Impossible:
                done = Impossible, NO_STATE
            self._performed[key] = done
        return done

    def step(self, state: int, number: int) -> int:
        """Return the state after a call of this class, NO_STATE where it cannot give its result in this state."""
        key = (state, number)
        after = self._steps.get(key)
        if after is None:
            name, args, _ = self.classes[number]
            expected = self._results[number]
            given, after = self.perform(state, name, args)
            if expected is not UNKNOWN and given != expected:
                after = NO_STATE
            if self.reads[number] and after not in (NO_STATE, state):
                raise UsageError(f"the model says that {name} only reads, and it changes the model's state; fix either")
            self._steps[key] = after
        return after
