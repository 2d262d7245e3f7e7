"""Long histories are judged by every way alike, within their budget; the core of a failure is as small as can be."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from lab.errors import UsageError
from lab.histories.automaton import Automaton, OfModel, copied, freeze
from lab.histories.call import UNKNOWN, Call, Impossible, value_text
from lab.histories.core import core_of, known_from, known_until, read_units, value_units
from lab.histories.judge import Budget, as_judged, judge
from lab.histories.models import MODELS, Map, Mutex, Queue, Register
from tests.histories.brute import DRAWN, NAMES, drawn, explained
from tests.histories.made import PLANS, alike, made


def model_of(kind: str) -> type:
    return MODELS.get(kind, Register)


@pytest.mark.parametrize("kind", [kind for kind in PLANS if kind not in ("stack", "queue")])
def test_all_ways_agree_on_a_history_of_400_calls(kind: str) -> None:
    specification = OfModel(model_of(kind))
    for wrong in (False, True):
        calls = made(kind, 400, wrong=wrong, crashes=0 if wrong else 0.02)
        ways = [judge(calls, specification), judge(calls, specification, exact=False)]
        assert {way.verdict for way in ways} == {"not linearizable" if wrong else "linearizable"}, kind
        assert ways[1].searched >= 1


def test_the_parts_of_a_map_are_judged_by_themselves_and_one_that_is_wrong_is_found_behind_one_that_is_hard() -> None:
    """Key 0 takes a long search; key 1 is wrong at once."""
    hard = [Call(number, "cas", (0, number, number + 1), UNKNOWN, 0, 100) for number in range(12)]
    hard += [Call(20, "get", (0,), 99, 101, 102)]
    wrong = [Call(30, "get", (1,), 7, 0, 1)]
    judgement = judge([*hard, *wrong], OfModel(MODELS["map"]), Budget(configurations=200_000))
    assert (judgement.verdict, judgement.part, judgement.parts) == ("not linearizable", 1, 2)


def test_a_read_of_nothing_after_a_value_is_told_with_the_calls_that_say_so() -> None:
    put, seen = Call(0, "put", ("k", 1), None, 0, 10), Call(1, "get", ("k",), 1, 12, 15)
    empty = Call(2, "get", ("k",), None, 20, 30)
    early = {"put('k', 1)": [put, empty], "get('k'), which gave 1,": [put._replace(end=None), seen, empty]}
    for told, calls in early.items():
        why = f"get('k'), which gave nothing, began after {told} had ended, but has to come before it"
        assert judge(as_judged(calls, OfModel(Map)), OfModel(Map)).why == why


@pytest.mark.parametrize("wrong", [False, True])
def test_a_stack_of_a_thousand_calls_whose_values_differ_is_judged(wrong: bool) -> None:
    judgement = judge(made("stack", 1000, wrong=wrong), OfModel(MODELS["stack"]), Budget(configurations=100_000))
    assert judgement.verdict == ("not linearizable" if wrong else "linearizable")


def test_a_stack_is_judged_by_its_values_as_the_definition_judges_it() -> None:
    def draw(random: Random) -> tuple[str, tuple[Any, ...], Any]:
        return random.choice([("push", (random.choice((1, 2, 3)),), None), ("pop", (), random.choice((None, 1, 2, 3)))])

    verdicts = []
    for seed in range(1500):
        pushed: set[Any] = set()
        calls = [
            call
            for call in drawn(Random(f"values {seed}"), MODELS["stack"], draw)
            if call.name == "pop" or not (call.args in pushed or pushed.add(call.args))  # type: ignore[func-returns-value]
        ]
        verdicts.append(judge(calls, OfModel(MODELS["stack"])).verdict == "linearizable")
        assert verdicts[-1] == explained(calls, MODELS["stack"]), calls
    assert 100 < sum(verdicts) < 1400


def test_a_budget_ends_a_judgement_with_how_much_was_tried() -> None:
    calls = alike(made("stack", 400, wrong=True))
    by_count = judge(calls, OfModel(MODELS["stack"]), Budget(configurations=500))
    assert (by_count.verdict, by_count.reason, by_count.undecided) == ("unknown", "configurations", 1)
    assert 500 <= by_count.configurations <= 502
    by_memory = judge(calls, OfModel(MODELS["stack"]), Budget(memory=lambda: 2, most_bytes=1))
    assert (by_memory.verdict, by_memory.reason) == ("unknown", "memory")
    by_time = judge(calls, OfModel(MODELS["stack"]), Budget(until=0.0))
    assert (by_time.verdict, by_time.reason) == ("unknown", "time")


@pytest.mark.parametrize(("kind", "most"), [("register", 3), ("queue", 5), ("counter", 3), ("log", 3)])
def test_the_core_of_a_failure_is_small_and_contradicts_itself_by_definition(kind: str, most: int) -> None:
    specification = OfModel(model_of(kind))
    for seed in range(5):
        judgement = judge(made(kind, 150, seed=seed, wrong=True), specification)
        core = core_of(judgement, specification)
        assert core.smallest
        assert 1 <= len(core.calls) <= most, core
        if len(core.any_time) < 5:
            assert not explained([*core.calls, *core.any_time], model_of(kind))
            assert core.orders


@pytest.mark.parametrize("name", NAMES)
def test_the_core_of_any_failure_contradicts_itself_by_definition(name: str) -> None:
    model, draw = DRAWN[NAMES.index(name)]
    specification = OfModel(model)
    cores = 0
    for seed in range(80):
        calls = drawn(Random(f"core {name} {seed}"), model, draw)
        judgement = judge(calls, specification, exact=seed % 2 == 0)
        if judgement.verdict != "not linearizable":
            continue
        core = core_of(judgement, specification)
        for state in judgement.met if core.starts else [model()]:
            assert not explained([*core.calls, *core.any_time], begun(model, state)), (calls, core)
        assert core.smallest
        assert core.orders
        cores += 1
    assert cores > 10


def begun(model: type, state: Any) -> type:
    """The model, which begins in this state."""
    return type(model.__name__, (model,), {"__init__": lambda self: self.__dict__.update(vars(state))})


def test_a_core_leaves_no_write_out_that_would_explain_what_was_read() -> None:
    """A read alone would contradict itself as soon as the write of its value is left out."""
    calls = [
        Call(0, "write", (1,), None, 0, 1), Call(0, "write", (2,), None, 2, 3), Call(1, "read", (), 2, 4, 5),
        Call(1, "read", (), 1, 6, 7),
    ]  # fmt: skip
    core = core_of(judge(calls, OfModel(Register)), OfModel(Register))
    assert [(call.name, call.args, call.result) for call in core.calls] == [
        ("write", (1,), UNKNOWN), ("write", (2,), UNKNOWN), ("read", (), 1),
    ]  # fmt: skip


def test_the_core_of_a_long_history_begins_late_in_whichever_state_the_object_was() -> None:
    """Values come again and again: only the search can tell, and what came long before the wrong read is left out."""
    specification = OfModel(Register)
    calls = made("cas", 300)
    for at in range(200, 300):
        wrong = [
            call._replace(name="read", args=(), result=3) if number == at else call for number, call in enumerate(calls)
        ]
        judgement = judge(wrong, specification)
        if judgement.verdict == "not linearizable":
            break
    core = core_of(judgement, specification)
    assert core.starts == len(judgement.met) == 6
    assert len(core.calls) < 60
    for state in judgement.met[::2]:
        from_there = OfModel(begun(Register, state))
        assert judge([*core.calls, *core.any_time], from_there).verdict == "not linearizable"


def test_two_that_hold_a_mutex_at_once_are_the_core_of_a_long_history() -> None:
    calls = []
    for number in range(40):
        calls += [Call(number % 3, "acquire", (), None, 10 * number, 10 * number + 1)]
        calls += [Call(number % 3, "release", (), None, 10 * number + 5, 10 * number + 6)]
    calls += [Call(5, "acquire", (), None, 203, 204), Call(5, "release", (), None, 211, 212)]
    judgement = judge(calls, OfModel(Mutex))
    core = core_of(judgement, OfModel(Mutex))
    assert {call.process for call in core.calls} == {2, 5}
    assert len(core.calls) <= 3


@pytest.mark.parametrize("name", NAMES)
def test_what_a_core_may_leave_out_keeps_a_linearizable_history_linearizable(name: str) -> None:
    model, draw = DRAWN[NAMES.index(name)]
    specification = OfModel(model)
    left_out = 0
    for seed in range(300):
        calls = as_judged(drawn(Random(f"{name} {seed}"), model, draw, 5), specification)
        if not explained(calls, model):
            continue
        for unit in [*read_units(calls, specification), *value_units(calls, specification)]:
            rest = [call for at, call in enumerate(calls) if at not in unit]
            assert explained(rest, model), (calls, unit)
            left_out += 1
    assert left_out > 100 or name in ("sums", "counter", "flag", "mutex")


@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_the_time_of_a_linearizable_history_is_linearizable_from_a_state_that_the_search_meets(
    name: str,
) -> None:
    """The search meets all states, because one more call at the end is impossible: that of a core is such a search."""
    model, draw = DRAWN[NAMES.index(name)]
    never = type(model.__name__, (model,), {"never": impossible})
    specification = OfModel(model)
    tried = 0
    for seed in range(100):
        calls = as_judged(drawn(Random(f"{name} {seed}"), model, draw, 5), specification)
        if not explained(calls, model):
            continue
        met = judge([*calls, Call(9, "never", (), None, 100, 101)], OfModel(never), exact=False).met
        for moment in sorted({call.start for call in calls}):
            assert explained(known_until(calls, moment), model), (calls, moment)
            later = known_from(calls, moment)
            assert any(explained(later, begun(model, state)) for state in met), (calls, moment)
            tried += 1
    assert tried > 50


def impossible(_: object) -> None:
    raise Impossible


def test_a_map_is_judged_by_its_keys_as_the_definition_judges_all_of_it() -> None:
    def draw(random: Random) -> tuple[str, tuple[object, ...], object]:
        key, value = random.randrange(2), random.randrange(1, 4)
        return random.choice([("put", (key, value), None), ("get", (key,), random.choice((None, value)))])

    specification = OfModel(Map)
    verdicts = []
    for seed in range(500):
        calls = drawn(Random(seed), Map, draw, 6)
        verdict = judge(calls, specification, exact=seed % 2 == 0).verdict
        assert (verdict == "linearizable") == explained(calls, Map), calls
        verdicts.append(verdict)
    assert min(verdicts.count("linearizable"), verdicts.count("not linearizable")) > 50


class Dishonest:
    only_reads = ("peek",)

    def __init__(self) -> None:
        self.count = 0

    def peek(self) -> int:
        self.count += 1
        return self.count


MISTAKES = {
    "def put(self, x): yield x": "model Model: put has a yield, or is async; let it return its result",
    "async def put(self, x): pass": "model Model: put has a yield, or is async; let it return its result",
    "def put(self, x): raise SystemExit": "model Model: put(1) raised SystemExit",
    "def __init__(self): raise SystemExit": "model Model: cannot be made without arguments (SystemExit",
    "def put(self, x): self.me = self": "model Model: its state contains itself, or is nested too deeply",
    "all = []\n def put(self, x): self.all.append(x)": "model Model: put changes a value of the class, which all",
    "part_of = 5": "model Model: part_of is 5; make it a static method of name and arguments",
    "only_reads = 'put'": "model Model: only_reads is 'put'; make it a tuple of names of calls",
    "def part_of(self, name, args): pass": "model Model: part_of raised TypeError",
    "def only_reads(self, name, args, result): pass": "model Model: only_reads raised TypeError",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_in_a_model_is_told(text: str) -> None:
    made: dict[str, Any] = {}
    exec(f"class Model:\n def put(self, x): pass\n {text}\n", made)  # noqa: S102 - our own text
    with pytest.raises(UsageError) as told:
        judge([Call(0, "put", (1,), 2, 0, 1)], OfModel(made["Model"]))
    assert str(told.value).startswith(MISTAKES[text])


def test_a_model_that_says_it_only_reads_and_changes_is_refused() -> None:
    calls = [Call(0, "peek", (), 1, 0, 1), Call(0, "peek", (), 2, 2, 3)]
    with pytest.raises(UsageError, match="the model says that peek only reads, and it changes the model's state"):
        judge(calls, OfModel(Dishonest))


class Snapshots:
    """A map whose keys are numbers, which JSON does not have."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}

    def put(self, key: int, value: Any) -> None:
        self.values[key] = value

    def all(self) -> dict[int, Any]:
        return dict(self.values)


NAN = float("nan")
WROTE, PUT_ONE = Call(0, "write", (1,), None, 0, 1), Call(0, "put", (1, True), None, 0, 1)


@pytest.mark.parametrize(
    ("kind", "first", "then", "fits"),
    [
        (Register, WROTE, ("read", (), 1), True),
        (Register, WROTE, ("read", (), 1.0), True),
        (Register, WROTE, ("read", (), True), False),
        (Register, WROTE, ("cas", (1.0, 5), True), True),
        (Register, WROTE, ("cas", (True, 5), True), False),
        (Register, WROTE, ("cas", (True, 5), False), True),
        (Register, WROTE._replace(args=(True,)), ("read", (), 1), False),
        (Register, WROTE._replace(args=((0, (False,)),)), ("read", (), [0, [False]]), True),
        (Register, WROTE._replace(args=((0, (False,)),)), ("read", (), [0, [0]]), False),
        (Register, WROTE._replace(args=({"a": (1,)},)), ("read", (), {"a": [1]}), True),
        (Register, WROTE._replace(args=({"a": (1,)},)), ("read", (), {"a": [True]}), False),
        (Register, WROTE._replace(args=(NAN,)), ("read", (), float("nan")), True),
        (Register, WROTE._replace(args=(10**5000,)), ("read", (), 10**5000), True),
        (Map, PUT_ONE, ("get", (True,), None), True),
        (Map, PUT_ONE, ("get", (True,), True), False),
        (Map, PUT_ONE, ("get", (1.0,), True), True),
        (Map, PUT_ONE, ("get", (1,), 1), False),
        (MODELS["counter"], Call(0, "add", (1,), 1, 0, 1), ("read", (), True), False),
        (MODELS["counter"], Call(0, "add", (1,), 1, 0, 1), ("read", (), 1.0), True),
        (Queue, Call(0, "put", (0,), None, 0, 1), ("take", (), False), False),
        (MODELS["stack"], Call(0, "push", (0,), None, 0, 1), ("pop", (), False), False),
        (MODELS["log"], Call(0, "append", (0,), None, 0, 1), ("read", (), [False]), False),
        (Snapshots, Call(0, "put", (1, 5), None, 0, 1), ("all", (), {"1": 5}), True),
        (Snapshots, Call(0, "put", (1, 5), None, 0, 1), ("all", (), {"1": True}), False),
    ],
)
def test_values_are_those_of_json_for_every_way(kind: type, first: Call, then: tuple[Any, ...], fits: bool) -> None:
    name, args, result = then
    calls = [first, Call(1, name, args, result, 2, 3)]
    ways = [{}, {"exact": False}, {"exact": False, "native": False}]
    assert [judge(calls, OfModel(kind), **way).verdict == "linearizable" for way in ways] == [fits] * 3  # type: ignore[arg-type]


def test_frozen_values_are_shown_as_they_were() -> None:
    values = [{"a": [1, True]}, {"b": {2}}, Dishonest(), [float("nan")]]
    assert [value_text(freeze(each, ordered=False)) for each in values] == [
        "{'a': (1, True)}", "{'b': frozenset({2})}", "Dishonest(count=0)", "(nan,)",
    ]  # fmt: skip


def test_states_are_told_apart_by_all_that_a_model_may_depend_on() -> None:
    assert freeze({"a": 1, "b": 2}) != freeze({"b": 2, "a": 1})
    assert freeze({"a": 1, "b": 2}, ordered=False) == freeze({"b": 2, "a": 1}, ordered=False)
    assert freeze([1, [2]]) == freeze((1, (2,)))
    nested = {"a": [1, {2}]}
    assert copied(nested) == nested
    assert copied(nested)["a"] is not nested["a"]
    automaton = Automaton(OfModel(Queue))
    put = automaton.class_of("put", (1,), UNKNOWN)
    assert automaton.step(automaton.step(0, put), automaton.class_of("take", (), 1)) == automaton.initial
    assert as_judged([Call(0, "take", (), UNKNOWN, 0, None)], OfModel(Queue)) != []
