from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import msgspec
import pytest

from lab.exploring.operation import named, shown, value_of
from lab.exploring.plays import MOST, cells, plays, simulated_scenarios, source
from lab.exploring.run import damage_records
from lab.exploring.search import every_state, graph_of
from lab.exploring.simplify import world_of
from lab.exploring.tally import Tally
from lab.exploring.trace import trace
from lab.exploring.worker import shape_of
from lab.exploring.world import World
from lab.records import OPERATIONS, Damage, Play
from lab.scenario import Damage as Found
from lab.scenario import Scenario, find_scenarios
from tests.exploring.worlds import scenario_of

pytestmark = pytest.mark.slow

DEFAULT = plays(simulated_scenarios())
PAIRS = list(zip(DEFAULT.plays[::2], DEFAULT.plays[1::2], strict=True))
MOST_BYTES = 160_000

each_play = pytest.mark.parametrize("play", DEFAULT.plays, ids=lambda play: f"{play.scenario}-{play.lock}")


def world_for(play: Play) -> World:
    """The world that a play is of."""
    found = find_scenarios([play.scenario])[0]
    return world_of(shape_of(found, play.lock, play.workers, play.rounds, play.line_bytes))


def move(play: Play, at: int, worker: int) -> tuple[int, int]:
    """The step that a worker is about to do, and where it leads."""
    step, to = play.states[at][3 + 2 * worker : 5 + 2 * worker]
    return step, to


def memory(play: Play, schedule: bytes | list[int]) -> tuple[int, list[str]]:
    """Where a schedule leads, and what the cells hold there."""
    at, values = 0, [value for _, value in play.cells]
    for worker in schedule:
        step, at = move(play, at, worker)
        first, *stored = play.steps[step][5:] or [0]
        values[first : first + len(stored)] = stored
    return at, [play.texts[value] for value in values]


def damage(play: Play, at: int) -> list[Damage]:
    """The damage of the end that a state is."""
    assert play.states[at][2] >= 0
    return play.endings[play.states[at][2]]


def test_the_default_set_and_the_counterexamples_are_all_there_without_a_lock_and_with_one() -> None:
    names = [found.name for found in simulated_scenarios()]
    assert DEFAULT.left_out == []
    assert [bare.scenario for bare, _ in PAIRS] == [locked.scenario for _, locked in PAIRS] == names
    assert {bare.lock for bare, _ in PAIRS} == {"none"}
    assert {locked.scenario: locked.lock for _, locked in PAIRS if locked.lock != "fcntl"} == {"opposite_order": "ofd"}


def test_a_pair_has_one_shape_and_the_counter_two_workers_with_two_rounds() -> None:
    shapes = [[(p.workers, p.rounds, p.line_bytes) for p in pair] for pair in PAIRS]
    assert all(one == other for one, other in shapes)
    assert shapes[0] == [(2, 2, 64), (2, 2, 64)]


def test_without_a_lock_all_break_and_with_one_only_the_counterexamples_do() -> None:
    assert [bare.scenario for bare, _ in PAIRS if not bare.states[0][1]] == []
    assert {locked.scenario for _, locked in PAIRS if locked.states[0][1]} == {
        found.name for found in simulated_scenarios() if found.kind.why and ":" not in found.name
    }


def test_all_plays_together_are_small_and_the_same_every_time() -> None:
    assert max(len(play.states) for play in DEFAULT.plays) <= MOST
    assert len(msgspec.json.encode(DEFAULT)) < MOST_BYTES
    assert msgspec.json.encode(plays(simulated_scenarios())) == msgspec.json.encode(DEFAULT)


@each_play
def test_states_and_schedules_are_as_many_as_the_explorer_counts(play: Play) -> None:
    assert (len(play.states), tuple(play.states[0][:2])) == every_state(world_for(play), Tally(inf), symmetric=False)


@each_play
def test_the_shortest_failure_ends_in_its_damage(play: Play) -> None:
    if play.shortest is None:
        assert play.states[0][1] == 0
        return
    at, _ = memory(play, play.shortest.schedule)
    assert damage(play, at) == damage_records(trace(world_for(play), bytes(play.shortest.schedule))[1])
    assert play.shortest.headline.partition(":")[0] in {each.kind for each in damage(play, at)}
    assert play.shortest.reasons


@each_play
def test_a_random_walk_is_one_through_the_world_step_by_step(play: Play) -> None:
    here, random = world_for(play), Random(play.scenario + play.lock)
    for _ in range(10):
        at = 0
        while choices := here.choices():
            assert [i for i in range(play.workers) if move(play, at, i)[1] >= 0] == choices
            worker = random.choice(choices)
            at = move(play, at, worker)[1]
            here.do(worker)
        schedule, content, end = bytes(here.path), bytes(here.content), here.end()
        over = [node.ended or end.by_invariant for node in here.at]
        waits = [-1 if over[i] else -2 - (here.waits_for(i) or 0) for i in range(play.workers)]
        here.back_to(0)
        assert [move(play, at, i)[1] for i in range(play.workers)] == waits
        assert damage(play, at) == damage_records(end)
        assert told(play, schedule) == [
            (s.worker, s.round, s.operation, s.field, None if s.value is None else value(s.operation, s.value))
            for s in trace(here, schedule)[0][: len(schedule)]
        ]
        assert memory(play, schedule)[1] == contents(here, content)


def told(play: Play, schedule: bytes) -> list[tuple[int, int, str, str, str | None]]:
    """The steps of a schedule: worker, round, operation, field and value as text."""
    at = 0
    found = []
    for who in schedule:
        step, at = move(play, at, who)
        worker, round, operation, field, text = play.steps[step][:5]
        value = None if text < 0 else play.texts[text]
        found.append((worker, round, OPERATIONS[operation], play.texts[field], value))
    return found


def value(operation: str, of: int | float | str) -> str:
    return shown(of) if operation in ("load", "store") else f"{of}"


def contents(here: World, content: bytes) -> list[str]:
    """What the touched bytes are, as people read them."""
    memory, places = here.shape.memory, cells(graph_of(here, MOST))
    return [shown(value_of(named(memory, low, high).kind, content[low:high])) for low, high in places]


def test_a_value_is_what_was_met_and_a_waiting_worker_is_told_with_who_holds_the_lock() -> None:
    locked = PAIRS[0][1]
    at, _ = memory(locked, [0])
    step, to = move(locked, at, 1)
    assert to == -2 - 0
    assert [locked.texts[each] for each in locked.steps[step][3:5]] == ["value", "waits"]


def test_long_copies_are_cut_into_few_pieces_and_the_rest_into_real_ones() -> None:
    lines = {bare.scenario: bare.line_bytes for bare, _ in PAIRS if bare.line_bytes != 64}
    assert lines == {"torn_record": 128, "readers_writers": 1024, "overlap": 1024}


def test_cells_are_the_touched_bytes_cut_where_a_step_begins_or_ends() -> None:
    made = find_scenarios(["overlap"])[0]
    graph = graph_of(world_of(shape_of(made, "fcntl", 2, 1, 2048)), MOST)
    assert cells(graph) == [(0, 1024), (1024, 2048), (2048, 4096), (4096, 5120)]


def test_the_source_is_what_the_workers_run_with_what_it_calls() -> None:
    texts = {found.name: source(found.kind) for found in simulated_scenarios()}
    assert texts["counter"].startswith("def work(self, w: Worker) -> None:\n    with w.write_lock")
    assert [line for line in texts["opposite_order"].splitlines() if line.startswith("def ")] == [
        "def start(self, w: Worker) -> None:",
        "def work(self, w: Worker) -> None:",
        "def moved(self, w: Worker, first: Any, second: Any) -> bool:",
    ]
    assert "def count(self, w: Worker)" in texts["short_range:fixed"]


def test_a_source_that_is_gone_is_no_text() -> None:
    work = eval(compile("lambda self, w: None", "gone.py", "eval"))  # noqa: S307 - of no file
    assert source(type("Made", (Scenario,), {"work": work})) == ""


def test_what_cannot_be_simulated_is_left_out_with_the_reason() -> None:
    made = plays(find_scenarios(["killed_holder", "counter"]))
    assert [each.scenario for each in made.plays] == ["counter", "counter"]
    assert [each.scenario for each in made.left_out] == ["killed_holder", "killed_holder:fixed"]
    assert "which are not simulated" in made.left_out[0].reason


def test_what_has_too_many_states_in_every_shape_is_left_out() -> None:
    made = plays([scenario_of(many_steps)])
    assert made.plays == []
    assert made.left_out[0].reason == "scenario made: every shape has more than 520 states, too many to be played"


def test_a_mistake_in_a_scenario_is_told_without_the_folder_that_it_is_in() -> None:
    reason = plays([scenario_of(mistaken)]).left_out[0].reason
    assert reason.startswith("scenario made: worker 0 alone raised ZeroDivisionError: by zero (test_plays.py:")


def test_what_raises_in_a_schedule_is_told_without_folders() -> None:
    made = plays([scenario_of(trips)]).plays[0]
    told = [text for damage in made.endings for each in damage for text in each.evidence]
    assert {text.rpartition(":")[0] for text in told} == {
        f"worker {worker}: FileNotFoundError: no b c.txt (test_plays.py" for worker in range(2)
    }


def test_what_a_check_finds_is_told_without_a_home_directory_that_has_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jo doe")
    odd = Found("odd", 1, 1, ["in /home/jo doe/work/x.py"])
    made = plays([scenario_of(lambda scenario, w: w.memory.value, check=lambda *_: [odd])]).plays[0]
    assert made.endings[0][0].evidence == ["in x.py"]


def test_what_never_breaks_is_played_in_the_largest_shape() -> None:
    made = plays([scenario_of(lambda scenario, w: w.memory.value)]).plays
    assert [(each.lock, each.rounds, each.shortest) for each in made] == [("none", 2, None), ("fcntl", 2, None)]


def many_steps(scenario: object, w: Any) -> None:
    for _ in range(100):
        w.memory.value += 1


def trips(scenario: object, w: Any) -> None:
    with w.write_lock():
        before = w.memory.value
        w.memory.value = before + 1
        if w.memory.value != before + 1:
            raise FileNotFoundError("no /some/folder/b c.txt")


def mistaken(scenario: object, w: Any) -> None:
    raise ZeroDivisionError("by zero")
