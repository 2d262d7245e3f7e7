"""What `explore` counts, tells, writes and refuses, as a user meets it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lab import records as results
from lab.explore.operation import widest_move
from lab.scenario import find_scenarios
from tests.cli.commands import Terminal, document, lines, scenario_file, start_lab
from tests.cli.inside import OTHER, each_ended, ended, other_process
from tests.cli.test_race import DEFAULT_SET
from tests.helpers import PATIENCE_S, ROOT, is_running, run_lab, wait_until

__all__ = ["other_process"]  # a fixture of this module too

ADD = "w.memory.value += 1"
LOCKED_ADD = f"with w.write_lock(self.Memory.value):\n    {ADD}"
LOST = "return Damage('lost update', outcome.rounds - memory.value, outcome.rounds)"
LARGE = ("counter", "--lock", "fcntl", "--workers", "4", "--rounds", "5")
"""More schedules than any test waits for."""

SIZE = ("--workers", "3", "--rounds", "3", "--time-limit", "600")
STOPPED_IN_THE_MIDDLE = """
if memory.value == 3:
    (HERE / f"searched-by-{os.getpid()}").touch()
    os.kill(WHOM, NUMBER)
return DAMAGE
"""
"""A check that stops its own search when it first meets a certain end."""


def explored(*args: str | Path) -> tuple[int, dict[str, Any]]:
    """`explore` with these arguments: its exit code and its document."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "it.json"
        code, _, told = ended("explore", *args, "--json", path)
        assert path.exists(), told
        return code, document(path.read_text())


def text(*args: str | Path) -> str:
    """What `explore` prints with these arguments."""
    return ended("explore", *args)[1]


def case(*args: str | Path) -> dict[str, Any]:
    """The one case of an exploration."""
    _, made = explored(*args)
    (only,) = made["cases"]
    return dict(only)


def refused(code: int, *args: str | Path) -> str:
    """The one line of an exploration that ends with this code and shows nothing."""
    found, printed, told = ended("explore", *args)
    assert (found, printed) == (code, ""), told
    (line,) = told.splitlines()
    assert line.startswith("lab: ")
    return line


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """The default run: its exit code, what it printed, and its document."""
    folder = tmp_path_factory.mktemp("explored")
    done = run_lab("explore", "--json", "explored.json", cwd=folder)
    assert done.stderr == ""
    return done.returncode, done.stdout, folder / "explored.json"


@pytest.fixture(scope="module")
def failure(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed of the counter without a lock."""
    return run_lab("explore", "counter", "--lock", "none", cwd=tmp_path_factory.mktemp("failure")).stdout


# Counts


@pytest.mark.parametrize(
    ("lock", "options", "schedules", "broken"),
    [
        ("none", ["--search", "all"], 70, 64),
        ("none", ["--search", "all", "--jobs", "2"], 70, 64),
        ("none", ["--search", "dpor"], 34, None),
        ("none", ["--search", "bound", "--preemptions", "1"], 8, None),
        ("none", ["--search", "bound", "--preemptions", "2"], 26, None),
        ("none", ["--search", "bound", "--preemptions", "3"], 44, None),
        ("fcntl", ["--search", "all"], 6, 0),
        ("fcntl", ["--search", "dpor"], 6, 0),
        ("ofd", ["--search", "all"], 6, 0),
        ("flock", ["--search", "all"], 6, 0),
    ],
)
def test_the_counter_has_as_many_schedules_as_can_be_worked_out(
    lock: str, options: list[str], schedules: int, broken: int | None
) -> None:
    made = case("counter", "--lock", lock, "--workers", "2", "--rounds", "2", *options)
    assert made["schedules"] == schedules
    assert broken in (None, made["broken_schedules"])


def test_all_interleavings_of_other_sizes_are_counted_in_one_run() -> None:
    _, made = explored("counter", "--lock", "none", "--workers", "2,3", "--rounds", "1,2", "--search", "all")
    sizes = [(each["workers"], each["rounds"], each["schedules"]) for each in made["cases"]]
    assert sizes == [(2, 1, 6), (2, 2, 70), (3, 1, 90), (3, 2, 34_650)]


@pytest.mark.parametrize("size", [("2", "3"), ("3", "1")])
def test_two_jobs_find_what_one_finds(size: tuple[str, str]) -> None:
    how = ("counter", "--lock", "none", "--workers", size[0], "--rounds", size[1], "--search", "all")
    one, two = case(*how, "--jobs", "1"), case(*how, "--jobs", "2")
    same = ("schedules", "broken_schedules", "verdict", "exhausted", "preemptions", "token")
    assert [two[name] for name in same] == [one[name] for name in same]
    assert one["broken_schedules"] > 0


def test_the_counter_breaks_with_one_preemption_within_ten_schedules() -> None:
    made = case("counter", "--lock", "none")
    assert (made["verdict"], made["preemptions"]) == ("broken", 1)
    assert made["schedules"] <= 10


# The default set and the counterexamples


def test_the_default_run_is_as_expected(default_run: tuple[int, str, Path]) -> None:
    assert default_run[0] == 0


def test_the_default_run_explores_the_default_set_without_and_with_the_lock(default_run: tuple[int, str, Path]) -> None:
    rows = [(each["scenario"], each["lock"]) for each in document(default_run[2].read_text())["cases"]]
    assert rows == [(name, lock) for name in DEFAULT_SET for lock in ("none", "fcntl")]


@pytest.mark.parametrize("name", DEFAULT_SET)
def test_each_of_the_nine_breaks_without_the_lock_and_holds_exhausted_with_it(
    name: str, default_run: tuple[int, str, Path]
) -> None:
    cases = [each for each in document(default_run[2].read_text())["cases"] if each["scenario"] == name]
    without, with_lock = cases
    assert (without["verdict"], without["expected"]) == ("broken", "broken")
    assert without["preemptions"] == 1
    assert without["schedules"] <= 20
    assert (with_lock["verdict"], with_lock["exhausted"], with_lock["broken_schedules"]) == ("holds", True, 0)
    assert (with_lock["workers"], with_lock["rounds"]) == (2, 2)


def test_each_counterexample_breaks_under_the_locks_that_it_announces_and_its_fix_holds() -> None:
    counterexamples = ("short_range", "check_then_lock", "opposite_order")
    code, made = explored(*counterexamples, "--lock", "fcntl", "--lock", "ofd", "--lock", "flock")
    assert code == 0
    verdicts = {(each["scenario"], each["lock"]): each["verdict"] for each in made["cases"]}
    broken = {place for place, verdict in verdicts.items() if verdict == "broken"}
    assert broken == {
        ("short_range", "fcntl"), ("short_range", "ofd"),
        ("check_then_lock", "fcntl"), ("check_then_lock", "ofd"), ("check_then_lock", "flock"),
        ("opposite_order", "fcntl"), ("opposite_order", "ofd"),
    }  # fmt: skip
    held = [each for each in made["cases"] if each["verdict"] != "broken"]
    assert {(each["verdict"], each["exhausted"]) for each in held} == {("holds", True)}
    assert {each["scenario"] for each in held} >= {f"{name}:fixed" for name in counterexamples}


def test_the_opposite_order_is_refused_under_fcntl_and_hangs_under_ofd() -> None:
    _, made = explored("opposite_order", "--lock", "fcntl", "--lock", "ofd")
    refused_one, hung = (each for each in made["cases"] if each["scenario"] == "opposite_order")
    assert refused_one["damage"][0]["kind"] == "deadlock (EDEADLK)"
    assert "EDEADLK" in [step["value"] for step in refused_one["steps"]]
    assert (hung["damage"][0]["kind"], hung["damage"][0]["count"]) == ("deadlock", 2)
    assert [step["value"] for step in hung["steps"]][-2:] == ["waits", "waits"]
    assert max(refused_one["schedules"], hung["schedules"]) <= 10


def test_counterexamples_come_beside_the_default_set_as_far_as_they_are_simulated() -> None:
    _, made = explored("--counterexamples", "--search", "random", "--time-limit", "0.01", "--rounds", "1")
    names = list(dict.fromkeys(each["scenario"] for each in made["cases"]))
    counterexamples = ["short_range", "check_then_lock", "opposite_order"]
    assert [name for name in names if ":" not in name] == [*DEFAULT_SET, *counterexamples]


# The document


def test_the_document_has_every_field_of_the_issue(default_run: tuple[int, str, Path]) -> None:
    made = document(default_run[2].read_text())
    assert next(iter(made)) == "schema"
    assert made.keys() >= {"schema", "environment", "options", "cases"}
    for each in made["cases"]:
        assert each.keys() >= {
            "scenario", "lock", "workers", "rounds", "search", "verdict", "exhausted", "schedules", "preemptions",
            "damage", "steps", "token", "schedules_per_s",
        }  # fmt: skip
        for step in each["steps"]:
            assert step.keys() >= {"worker", "operation", "field", "value"}


def test_a_failure_has_its_steps_and_its_token_and_what_holds_has_neither() -> None:
    _, made = explored("counter")
    broken, held = made["cases"]
    told = [(step["worker"], step["operation"], step["field"], step["value"]) for step in broken["steps"]]
    one, other = told[0][0], told[1][0]
    assert told == [
        (one, "load", "value", 0), (other, "load", "value", 0), (other, "store", "value", 1), (one, "store", "value", 1)
    ]  # fmt: skip
    assert [step["turn"] for step in broken["steps"]] == ["free", "preempted", "same", "free"]
    assert broken["token"].startswith(f"L1,counter,none,2x1,{widest_move()},")
    assert broken["damage"] == [
        {"kind": "lost update", "count": 1, "of": 2, "evidence": ["value is 1 after 2 additions"]}
    ]
    assert (held["damage"], held["steps"], held["token"], held["preemptions"]) == ([], [], None, None)


def test_the_options_are_those_that_were_given() -> None:
    given = ("--search", "pct", "--preemptions", "2", "--tear", "32", "--seed", "7", "--show-schedules", "4")
    _, made = explored("counter", "--lock", "none", *given, "--time-limit", "3", "--workers", "3", "--rounds", "1")
    assert made["options"] == {
        "scenarios": ["counter"], "locks": ["none"], "workers": [3], "rounds": [1], "search": "pct", "preemptions": 2,
        "line_bytes": 32, "seed": 7, "jobs": 1, "time_limit_s": 3.0, "show_schedules": 4,
    }  # fmt: skip


def test_the_document_has_the_keys_of_the_published_schema(default_run: tuple[int, str, Path]) -> None:
    records = json.loads((ROOT / "docs" / "explore.schema.json").read_text())["$defs"]
    made = document(default_run[2].read_text())

    def fits(record: str, *found: dict[str, Any]) -> None:
        assert found
        for each in found:
            assert each.keys() == records[record]["properties"].keys()

    fits("Exploration", made)
    fits("Environment", made["environment"])
    fits("ExploreOptions", made["options"])
    fits("Explored", *made["cases"])
    fits("Damage", *(damage for each in made["cases"] for damage in each["damage"]))
    fits("Step", *(step for each in made["cases"] for step in each["steps"]))
    fits("Shrunk", *(each["shrunk"] for each in made["cases"] if each["shrunk"]))


def test_a_document_reads_back_as_it_was_written(default_run: tuple[int, str, Path]) -> None:
    read = results.load_any(default_run[2])
    assert isinstance(read, results.Exploration)
    assert results.encode(read) == default_run[2].read_bytes()


def test_a_document_that_cannot_be_written_is_told_before_anything_is_explored(tmp_path: Path) -> None:
    assert "cannot be written" in refused(3, *LARGE, "--time-limit", "600", "--json", tmp_path / "none" / "it.json")


def test_a_document_is_kept_in_the_folder_that_is_named(tmp_path: Path) -> None:
    done = run_lab("explore", "counter", "--save", tmp_path)
    (kept,) = tmp_path.glob("*.json")
    assert results.load_any(kept).command == "explore"
    assert lines(done.stdout)[-1] == f"written to {kept}"


def test_a_report_prints_an_exploration_again(default_run: tuple[int, str, Path]) -> None:
    done = run_lab("report", default_run[2])
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(default_run[1])[-1] == "written to explored.json"
    assert lines(done.stdout) == lines(default_run[1])[:-1]


def test_a_report_tells_a_failure_again_step_by_step(failure: str, elsewhere: Path) -> None:
    run_lab("explore", "counter", "--lock", "none", "--json", "it.json", "--quiet")
    assert run_lab("report", elsewhere / "it.json").stdout == failure


# The text


def test_a_failure_begins_with_its_kind_and_the_two_sides(failure: str) -> None:
    (headline,) = [line for line in lines(failure) if line.startswith("lost update: ")]
    assert {"worker 0", "worker 1"} == set(re.findall(r"worker \d", headline))
    assert "value" in headline


def test_a_failure_has_a_column_a_worker_and_one_for_the_memory(failure: str) -> None:
    (head,) = [line for line in lines(failure) if line.split()[:1] == ["step"]]
    assert re.split(r"  +", head.strip()) == ["step", "worker 0", "worker 1", "memory"]


def test_a_failure_has_a_row_a_step_with_its_value_inline(failure: str) -> None:
    rows = [line for line in lines(failure) if re.match(r" +\d+ ", line)]
    told = [re.search(r"value (->|=) (\d)", row) for row in rows]
    assert [found and found[0] for found in told] == ["value -> 0", "value -> 0", "value = 1", "value = 1"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row.rstrip().endswith("  value 1") for row in rows] == [False, False, True, True]


def test_each_step_stands_in_the_column_of_its_worker(failure: str) -> None:
    (head,) = [line for line in lines(failure) if line.split()[:1] == ["step"]]
    rows = [line for line in lines(failure) if re.match(r" +\d+ ", line)]
    columns = [head.index("worker 0"), head.index("worker 1")]
    assert [columns.index(row.index("value")) for row in rows] == [0, 1, 1, 0]


def test_a_preemption_is_marked_as_a_switch(failure: str) -> None:
    rows = [line for line in lines(failure) if re.match(r" +\d+ ", line)]
    assert ["switch" in row for row in rows] == [False, True, False, False]


def test_the_reasons_go_from_edge_to_edge(failure: str) -> None:
    told = [line.strip(" ;.") for line in lines(failure)]
    at = told.index("because")
    victim = told[at + 1].split()[1]
    other = "1" if victim == "0" else "0"
    assert told[at + 1 : at + 4] == [
        f"worker {victim} stored 1 because it had loaded 0",
        f"it loaded 0 because worker {other} had not yet stored 1",
        f"so worker {other}'s addition is lost",
    ]


def test_a_failure_says_how_it_was_found_and_shrunk(failure: str) -> None:
    (found,) = [line for line in lines(failure) if line.startswith("found: ")]
    assert "1 preemption" in found
    assert re.search(r"after \d+ runs,", found)
    assert "shrunk from 2 workers x 2 rounds" in found


def test_a_failure_ends_with_the_line_to_paste(failure: str) -> None:
    (line,) = [line for line in lines(failure) if line.startswith("replay: ")]
    assert line == f"replay: python -m lab replay {case('counter', '--lock', 'none')['token']}"


def test_several_failures_get_a_headline_and_a_line_to_paste_each(default_run: tuple[int, str, Path]) -> None:
    tokens = [each["token"] for each in document(default_run[2].read_text())["cases"] if each["token"]]
    pasted = [
        line.strip().removeprefix("python -m lab replay ") for line in lines(default_run[1]) if "lab replay L1" in line
    ]
    assert pasted == tokens
    assert len(tokens) == len(find_scenarios([]))


def test_what_holds_says_what_was_exhausted() -> None:
    printed = text("counter", "--lock", "fcntl")
    assert "holds, exhausted" in printed
    assert "counter under fcntl holds in all 6 schedules of 2 workers x 2 rounds" in printed


def test_a_bound_that_leaves_schedules_out_holds_without_being_exhausted() -> None:
    how = ("counter", "--lock", "fcntl", "--workers", "3", "--search", "bound", "--preemptions", "0")
    made = case(*how)
    assert (made["verdict"], made["exhausted"], made["bound"]) == ("holds", False, 0)
    code, printed, _ = ended("explore", *how)
    assert code == 0
    assert "at most 0 preemptions" in printed
    assert "exhausted" not in printed


def test_a_bound_that_leaves_nothing_out_is_exhausted() -> None:
    made = case("counter", "--lock", "fcntl", "--search", "bound", "--preemptions", "9")
    assert (made["schedules"], made["exhausted"]) == (6, True)


@pytest.mark.parametrize("count", [0, 2, 6, 9])
def test_as_many_schedules_are_listed_as_asked_for_and_there_are(count: int) -> None:
    how = ("counter", "--lock", "fcntl", "--search", "all", "--show-schedules", str(count))
    shown = case(*how)["schedules_shown"]
    assert len(shown) == len(set(shown)) == min(count, 6)
    printed = [line.split(maxsplit=1)[1] for line in lines(text(*how)) if re.search(r"\dx\d", line)]
    assert printed == shown


def test_a_listed_schedule_is_who_did_how_many_steps() -> None:
    shown = case("counter", "--lock", "none", "--rounds", "1", "--search", "all", "--show-schedules", "6")
    assert sorted(shown["schedules_shown"]) == [
        "0x1 1x1 0x1 1x1", "0x1 1x2 0x1", "0x2 1x2", "1x1 0x1 1x1 0x1", "1x1 0x2 1x1", "1x2 0x2"
    ]  # fmt: skip


def test_quiet_prints_nothing_where_all_is_as_expected() -> None:
    done = run_lab("explore", "counter", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_still_tells_what_broke_on_stderr(tmp_path: Path) -> None:
    done = run_lab("explore", scenario_file(tmp_path / "mine.py", ADD, check=LOST), "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: mine under fcntl: broken where it should hold: lost update: ")


def test_the_format_csv_has_as_many_cells_in_a_row_as_in_its_heading() -> None:
    printed = lines(text("counter", "--format", "csv"))
    at = next(number for number, line in enumerate(printed) if line.startswith("scenario,lock,workers"))
    head, *rows = csv.reader(printed[at : at + 3])
    assert [(row[:2], len(row)) for row in rows] == [
        (["counter", "none"], len(head)),
        (["counter", "fcntl"], len(head)),
    ]


@pytest.mark.parametrize(("style", "mark"), [("github", "|"), ("csv", "")])
def test_a_format_that_is_not_for_people_is_the_table_and_nothing_else(style: str, mark: str) -> None:
    done = lines(text("counter", "--format", style))
    assert len(done) == (4 if style == "github" else 3)
    assert all(line.startswith(mark) and line.endswith(mark) for line in done)


def test_a_finer_tear_is_labelled_hypothetical() -> None:
    how = ("torn_record", "--lock", "none", "--rounds", "1", "--tear")
    assert "hypothetical" in text(*how, "8")
    assert "hypothetical" not in text(*how, "64")


def test_an_aligned_record_of_64_bytes_is_torn_only_hypothetically() -> None:
    how = ("torn_record", "--lock", "none", "--rounds", "1", "--tear")
    finer, real = case(*how, "8"), case(*how, "64")
    assert (finer["verdict"], finer["line_bytes"]) == ("broken", 8)
    assert finer["damage"][0]["kind"] == "torn record of 64 bytes"
    assert (real["verdict"], real["line_bytes"]) == ("holds", 64)


RECORD = '''
from ctypes import Structure, c_ubyte
from lab import Damage, Scenario

class Record(Scenario):
    """Everybody replaces a record within one line, and reads it."""
    class Memory(Structure):
        _fields_ = [("record", c_ubyte * {length})]
    def work(self, w):
        record = w.bytes(self.Memory.record)
        with w.write_lock(self.Memory.record):
            seen = record[:]
            record[:] = bytes([65 + w.index]) * {length}
        if len(set(seen)) > 1:
            w.damaged("torn record", seen.hex())
    def check(self, memory, outcome):
        return Damage("torn record", int(len(set(bytes(memory.record))) > 1), outcome.rounds)
'''


@pytest.mark.parametrize(("length", "broken"), [(3, True), (12, True), (24, True), (33, True), (63, True), (16, False)])
def test_a_record_whose_length_is_no_power_of_two_tears_within_a_line_and_really_so(
    length: int, broken: bool, tmp_path: Path
) -> None:
    path = tmp_path / "record.py"
    path.write_text(RECORD.format(length=length))
    row = case(path, "--lock", "none", "--tear", "64")
    assert (row["verdict"], row["exhausted"]) == (("broken", False) if broken else ("holds", True))
    if broken:
        done = run_lab("replay", row["token"])
        assert (done.returncode, "reproduced 100 of 100" in done.stdout) == (0, True)
        assert case(path, "--lock", "fcntl")["verdict"] == "holds"


@pytest.mark.parametrize("search", ["random", "pct"])
def test_the_same_seed_draws_the_same_schedules_and_another_draws_others(search: str) -> None:
    def drawn(seed: str) -> list[str]:
        """The schedules up to the first that breaks."""
        how = ("bank", "--lock", "none", "--workers", "3", "--rounds", "3", "--search", search, "--seed", seed)
        return list(case(*how, "--show-schedules", "100")["schedules_shown"])

    assert drawn("5") == drawn("5") != drawn("6")


# Terminals


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def test_what_is_no_terminal_gets_no_escape_codes() -> None:
    done = run_lab("explore", "counter", env={"TERM": "xterm-256color"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_gets_colours(terminal: Terminal) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    with start_lab("explore", "counter", stdout=terminal.end, env={**kept, "TERM": "xterm-256color"}) as lab:
        terminal.hand_over()
        printed = terminal.read()
        lab.communicate(timeout=PATIENCE_S)
    assert "\x1b[32mholds\x1b[0m" in printed
    assert "\x1b[1;33mswitch >\x1b[0m" in printed


# Scenarios of one's own


def test_a_scenario_of_ones_own_that_holds_is_explored_from_its_file(tmp_path: Path) -> None:
    code, made = explored(scenario_file(tmp_path / "mine.py", LOCKED_ADD, check=LOST))
    (only,) = made["cases"]
    assert code == 0
    assert (only["scenario"], only["lock"], only["verdict"], only["exhausted"]) == ("mine", "fcntl", "holds", True)


def test_a_scenario_of_ones_own_that_breaks_where_it_should_hold_ends_with_1(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", ADD, check=LOST)
    code, made = explored(mine)
    (only,) = made["cases"]
    assert code == 1
    assert (only["verdict"], only["expected"]) == ("broken", "holds")
    assert str(mine) in only["token"]


def test_damage_that_is_announced_ends_with_0(tmp_path: Path) -> None:
    mine = scenario_file(tmp_path / "mine.py", ADD, check=LOST, attributes='expects = {"fcntl": "damaged"}')
    code, made = explored(mine)
    assert (code, made["cases"][0]["verdict"]) == (0, "broken")


def test_a_report_of_a_worker_is_damage(tmp_path: Path) -> None:
    mine = scenario_file(
        tmp_path / "mine.py",
        "w.memory.value += 1\nif w.memory.value > 1 and w.index == 0:\n    w.damaged('met the other')",
    )
    made = case(mine, "--rounds", "1")
    assert (made["verdict"], made["damage"][0]["kind"]) == ("broken", "met the other")


def test_what_a_worker_raises_only_when_it_is_cut_apart_is_damage(tmp_path: Path) -> None:
    work = "w.memory.value = 1\nw.memory.value = 0"
    mine = scenario_file(tmp_path / "mine.py", f"if w.memory.value:\n    raise ValueError('half')\n{work}")
    code, made = explored(mine, "--rounds", "1")
    assert code == 1
    assert made["cases"][0]["damage"][0]["kind"] == "raised ValueError"
    assert re.search(r"half \(\S+mine.py:\d+\)", made["cases"][0]["damage"][0]["evidence"][0])


# Limits


@pytest.mark.parametrize("search", ["auto", "bound", "all", "states", "dpor", "random", "pct"])
def test_what_a_limit_cut_is_unknown_and_never_called_exhausted(search: str, elsewhere: Path) -> None:
    how = (*LARGE[:3], "--workers", "3", "--rounds", "4", "--search", search, "--preemptions", "30")
    code, printed, told = ended("explore", *how, "--time-limit", "0.1", "--json", elsewhere / "it.json")
    (only,) = document((elsewhere / "it.json").read_text())["cases"]
    assert code == 3
    assert (only["verdict"], only["exhausted"]) == ("unknown", False)
    assert "UNKNOWN" in printed
    assert "raise --time-limit" in printed + told
    assert "exhausted" not in (printed + told).lower()
    assert " holds" not in printed


def test_a_search_by_lot_that_found_nothing_is_unknown_with_two_jobs_too() -> None:
    made = case("counter", "--lock", "fcntl", "--search", "random", "--time-limit", "0.1", "--jobs", "2")
    assert (made["verdict"], made["exhausted"], made["broken_schedules"]) == ("unknown", False, 0)
    assert made["schedules"] > 0


@pytest.mark.parametrize("search", ["all", "random", "pct"])
def test_two_jobs_find_a_failure(search: str) -> None:
    made = case("counter", "--lock", "none", "--search", search, "--jobs", "2")
    assert (made["verdict"], made["preemptions"], len(made["steps"])) == ("broken", 1, 4)


# What is refused

TOUCH = "w.memory.cells[0] = 1\n"
NOTES = """

from collections import deque
from types import SimpleNamespace

SEEN, COUNT, QUEUE, NAMES = [], 0, deque(), SimpleNamespace()
"""

NO_STEP = {
    "nobody": "pass",
    "somebody": "if w.index == 0:\n    w.memory.value = 1",
}
BYPASSES = {
    "path": ("w.memory.value = len(w.path)", "asks for w.path"),
    "file": ("open('/dev/null').close()", "opens /dev/null"),
    "caught": ("try:\n    open('/dev/null').close()\nexcept Exception:\n    pass", "opens /dev/null"),
    "rarely": ("if w.memory.value == 1:\n    open('/dev/null').close()\nw.memory.value = 1", "opens /dev/null"),
    "object": ("self.seen = w.index", "keeps self.seen"),
    "sometimes": ("if w.memory.value == 1:\n    self.seen = 1\nw.memory.value = 1", "keeps self.seen"),
    "class": ("type(self).seen = w.index", "keeps Scripted.seen"),
    "list": ("SEEN.append(w.index)", "keeps SEEN"),
    "deque": ("QUEUE.append(w.index)", "keeps QUEUE"),
    "number": ("globals()['COUNT'] += 1", "keeps COUNT"),
    "lockf": ("import fcntl\nfcntl.lockf(0, fcntl.LOCK_UN)", "locks by itself"),
    "flock": ("import fcntl\nfcntl.flock(0, fcntl.LOCK_UN)", "locks by itself"),
    "mapping": ("import mmap\nmmap.mmap(-1, 4096)", "maps memory"),
    "fork": ("if not os.fork():\n    os._exit(0)", "forks"),
    "program": ("import subprocess\nsubprocess.run(['true'])", "starts a program"),
    "thread": ("import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()", "starts a thread"),
    "socket": ("import socket\nsocket.socketpair()", "opens a socket"),
    "reopen": ("w.reopen()", "asks for w.reopen"),
    "stale": ("w.stale()", "asks for w.stale"),
    "twin": ("w.twin()", "asks for w.twin"),
    "child": ("w.child(print)", "asks for w.child"),
    "die": ("w.die()", "asks for w.die"),
}
UNSEEN = {
    "system": "os.system('true')",
    "spawn": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "folder": "try:\n    os.mkdir(HERE / 'lock')\n    os.rmdir(HERE / 'lock')\nexcept OSError:\n    pass",
    "rename": "os.replace(__file__, __file__)",
    "namespace": "NAMES.seen = w.index",
}
"""Ways around the memory that the explorer does not see yet."""

CHANCE = {
    "random": "import random\nw.memory.value = random.getrandbits(60)",
    "time": "w.memory.value = time.monotonic_ns()",
    "urandom": "w.memory.value = int.from_bytes(os.urandom(7), 'little')",
    "branch": "for _ in range(time.perf_counter_ns() % 1009):\n    w.memory.value = 1",
}
RAISING = {
    "work": ({"work": "w.memory.value = 1\n1 / 0"}, "worker 0 alone raised ZeroDivisionError"),
    "check": ({"work": ADD, "check": "1 / 0"}, "check raised ZeroDivisionError"),
    "start": ({"work": ADD, "attributes": "def start(self, w):\n    1 / 0"}, "start raised ZeroDivisionError"),
    "prepare": (
        {"work": ADD, "attributes": "def prepare(self, memory):\n    1 / 0"}, "prepare raised ZeroDivisionError"
    ),
    "range": ({"work": "with w.write_lock(self.Memory.cells, 9):\n    pass"}, "cells[9] is beyond the file"),
    "damage": ({"work": ADD, "check": "return 7"}, "check returned 7 ("),
    "nothing": ({"work": ADD, "check": "pass"}, "check returned None ("),
}  # fmt: skip
NONSENSE = {
    "count": "unknown scenario 'count'; did you mean counter?",
    "missing.py": "missing.py: no such scenario file",
    "counter --lock fcntrl": "unknown lock 'fcntrl'; did you mean fcntl?",
    "counter --search every": "invalid choice: 'every'",
    "counter --workers 0": "0 is too few: at least 1",
    "counter --tear 0": "0 is too few: at least 1",
    "counter --jobs 0": "0 is too few: at least 1",
    "counter --time-limit 0": "0 is no time",
    "counter --format gthub": "unknown format 'gthub'; did you mean github?",
    "counter --workers 65": "65 workers: at most 64 can be explored; lower --workers",
    "threads": "scenario threads: runs only in race, not in explore",
    "closed_descriptor": "scenario closed_descriptor: runs only in race, not in explore",
    "counter private_mapping": "scenario private_mapping: runs only in race, not in explore",
}
OPENS_AT_START = "def start(self, w):\n    w.local.file = os.open(HERE / 'side', os.O_RDWR | os.O_CREAT)"


Ended = dict[str, tuple[int, str, str]]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """How the exploration of each scenario above ends, by its name."""
    folder = tmp_path_factory.mktemp("ends")
    texts: dict[str, dict[str, str]] = {name: {"work": work} for name, work in NO_STEP.items()}
    texts |= {name: {"work": TOUCH + work} for name, (work, _) in BYPASSES.items()}
    texts |= {name: {"work": TOUCH + work} for name, work in {**UNSEEN, **CHANCE}.items()}
    texts |= {f"raising_{name}": text for name, (text, _) in RAISING.items()}
    texts["opened"] = {"work": TOUCH + "os.pwrite(w.local.file, b'1', 0)", "attributes": OPENS_AT_START}
    texts["quits"] = {"work": TOUCH + "sys.exit(3)"}
    texts["draws"] = {"work": "w.memory.cells[w.index] = w.random.getrandbits(60)"}
    files = {name: scenario_file(folder / f"{name}.py", syntax=NOTES, **text) for name, text in texts.items()}
    commands = {name: ["explore", str(path)] for name, path in files.items()}
    commands |= {text: ["explore", *text.split()] for text in NONSENSE}
    return {name: (code, out, err) for name, (code, out, err) in OTHER[0].call(each_ended, commands).items()}


def refusal(ends: Ended, name: str, code: int) -> str:
    """The one line with which this exploration was refused."""
    ended, printed, told = ends[name]
    assert (ended, printed) == (code, ""), told
    (line,) = told.splitlines()
    assert line.startswith("lab: ")
    return line


@pytest.mark.parametrize("text", NONSENSE)
def test_a_request_that_makes_no_sense_is_one_line(text: str, ends: Ended) -> None:
    assert NONSENSE[text] in refusal(ends, text, 2)


@pytest.mark.parametrize(("lock", "many"), [("none", r"\d[\d,]*|10\^\d+"), ("fcntl", r"10\^\d+")])
def test_too_many_schedules_for_all_are_named_with_what_to_do(lock: str, many: str) -> None:
    line = refused(2, "counter", "--lock", lock, "--workers", "3", "--rounds", "20", "--search", "all")
    assert re.search(rf"3 workers x 20 rounds have (about |up to about )?({many}) schedules", line)
    assert "lower --workers or --rounds" in line


@pytest.mark.parametrize("lock", ["fcntl", "none"])
def test_too_many_steps_are_named_with_what_to_do(lock: str) -> None:
    line = refused(2, "counter", "--lock", lock, "--rounds", "6000")
    assert re.search(r"[\d,]+ steps", line)
    assert "lower --workers or --rounds" in line


@pytest.mark.parametrize("name", NO_STEP)
def test_a_worker_that_takes_no_step_is_told(name: str, ends: Ended) -> None:
    assert "took no step through w.memory or a lock, so nothing was explored" in refusal(ends, name, 3)


@pytest.mark.parametrize("name", BYPASSES)
def test_what_bypasses_the_memory_is_told(name: str, ends: Ended) -> None:
    line = refusal(ends, name, 3)
    assert BYPASSES[name][1] in line
    assert "bypass" in line


@pytest.mark.parametrize("name", UNSEEN)
def test_other_processes_threads_files_and_notes_are_told_too(name: str, ends: Ended) -> None:
    assert "bypass" in refusal(ends, name, 3)


def test_a_file_that_is_opened_at_the_start_is_told(ends: Ended) -> None:
    assert "opens" in refusal(ends, "opened", 3)


@pytest.mark.parametrize("name", CHANCE)
def test_a_scenario_that_is_not_deterministic_is_told_with_the_reason(name: str, ends: Ended) -> None:
    line = refusal(ends, name, 3)
    assert f"scenario {name} is not deterministic" in line
    assert "w.random" in line


def test_the_draws_of_a_worker_are_deterministic(ends: Ended) -> None:
    code, printed, _ = ends["draws"]
    assert code == 0
    assert "holds, exhausted" in printed


@pytest.mark.parametrize("name", [name for name in RAISING if name != "damage"])
def test_a_scenario_that_raises_by_itself_ends_with_4(name: str, ends: Ended) -> None:
    assert RAISING[name][1] in refusal(ends, f"raising_{name}", 4)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_check_without_an_end_ends_with_the_time_limit(jobs: int, tmp_path: Path) -> None:
    """At first, and where only what one interleaving leaves leads to it: each further one would take as long."""
    always = scenario_file(tmp_path / "always.py", ADD, check="while True: pass")
    once = scenario_file(tmp_path / "once.py", ADD, check="while memory.value < outcome.rounds: pass\nreturn []")
    for path in (always, once):
        search = ("--search", "all", "--jobs", str(jobs), "--time-limit", "0.5")
        done = run_lab("explore", path, "--lock", "none", *search)
        assert (done.returncode, done.stdout) == (4, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"lab: check was still at work after 0.5 s ({path}:")


def test_a_check_that_gives_no_damage_ends_with_4(ends: Ended) -> None:
    assert "check" in refusal(ends, "raising_damage", 4)


@pytest.mark.parametrize("name", ["work", "check", "start", "prepare"])
def test_what_a_scenario_raises_is_told_with_its_place(name: str, ends: Ended) -> None:
    assert re.search(rf"raising_{name}\.py:\d+\)", refusal(ends, f"raising_{name}", 4))


def test_a_worker_that_ends_the_program_is_told(ends: Ended) -> None:
    assert "quits" in refusal(ends, "quits", 4)


# Stops


def stopping(folder: Path, whom: str, stop: signal.Signals = signal.SIGINT, damage: str = "[]") -> Path:
    """A counter whose check stops this or the parent process when it meets the value 3."""
    check = STOPPED_IN_THE_MIDDLE.replace("WHOM", whom).replace("NUMBER", f"{stop:d}").replace("DAMAGE", damage)
    return scenario_file(folder / "mine.py", ADD, check=check)


def searchers(folder: Path) -> list[int]:
    """The processes that have met the value 3."""
    return [int(note.name.rpartition("-")[2]) for note in folder.glob("searched-by-*")]


@pytest.mark.parametrize(("jobs", "whom"), [("1", "os.getpid()"), ("2", "os.getppid()")])
@pytest.mark.parametrize("search", ["all", "random"])
def test_a_search_that_is_interrupted_tells_what_it_covered(search: str, jobs: str, whom: str, tmp_path: Path) -> None:
    mine = stopping(tmp_path, whom)
    done = run_lab("explore", mine, *SIZE, "--search", search, "--jobs", jobs, "--json", "it.json")
    assert done.returncode == 130
    made = document(Path("it.json").read_text())
    (only,) = made["cases"]
    assert made["interrupted"]
    assert (only["verdict"], only["exhausted"]) == ("unknown", False)
    assert [pid for pid in searchers(tmp_path) if is_running(pid)] == []
    told = done.stderr.splitlines()[-1]
    assert told.startswith("lab: interrupted; ")
    assert "exhausted" not in done.stdout + done.stderr


@pytest.mark.parametrize("search", ["all", "dpor", "random"])
def test_an_interrupted_search_names_the_schedules_that_it_ran(search: str, tmp_path: Path) -> None:
    mine = stopping(tmp_path, "os.getpid()")
    done = run_lab("explore", mine, *SIZE, "--search", search, "--preemptions", "9", "--json", "it.json")
    (only,) = document(Path("it.json").read_text())["cases"]
    assert re.search(r"[1-9][\d,]* runs", done.stderr.splitlines()[-1])
    assert f"{only['schedules']:,} runs" in only["covered"]


def test_what_broke_before_the_interrupt_is_not_said_to_have_held(tmp_path: Path) -> None:
    mine = stopping(tmp_path, "os.getppid()", damage="Damage('odd', 1, 9)")
    done = run_lab("explore", mine, *SIZE, "--search", "all", "--jobs", "2", "--json", "it.json")
    (only,) = document(Path("it.json").read_text())["cases"]
    assert done.returncode == 130
    assert (only["broken_schedules"] > 0) <= (only["verdict"] == "broken")
    assert only["broken_schedules"] == 0 or "nothing broke" not in done.stdout + done.stderr


def test_finished_cases_are_kept_when_a_later_one_is_interrupted(tmp_path: Path) -> None:
    mine = stopping(tmp_path, "os.getpid()")
    done = run_lab("explore", "counter", mine, "--lock", "fcntl", *SIZE, "--search", "all", "--json", "it.json")
    made = document(Path("it.json").read_text())
    assert done.returncode == 130
    assert [(each["scenario"], each["verdict"]) for each in made["cases"]] == [
        ("counter", "holds"),
        ("mine", "unknown"),
    ]
    assert [line.split()[0] for line in lines(done.stdout) if " fcntl " in line][:2] == ["counter", "mine"]


@pytest.fixture
def searching(tmp_path: Path) -> Iterator[Popen[str]]:
    """A search in two jobs, both of which are at it."""
    mine = stopping(tmp_path, "os.getpid()", signal.SIGCONT)
    lab = start_lab("explore", mine, *SIZE, "--search", "random",
                    "--jobs", "2")  # fmt: skip
    try:
        wait_until(lambda: len(searchers(tmp_path)) == 2 or lab.poll() is not None, "both jobs search")
        assert lab.poll() is None
        yield lab
    finally:
        for pid in searchers(tmp_path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        lab.kill()
        lab.communicate()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_job_outlives_its_parent(stop: signal.Signals, searching: Popen[str], tmp_path: Path) -> None:
    jobs = searchers(tmp_path)
    assert [is_running(pid) for pid in jobs] == [True, True]
    searching.send_signal(stop)
    searching.wait(PATIENCE_S)
    wait_until(lambda: not any(map(is_running, jobs)), "the jobs are gone with their parent")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_stopped_from_outside_prints_what_it_covered(
    stop: signal.Signals, searching: Popen[str]
) -> None:
    searching.send_signal(stop)
    printed, told = searching.communicate(timeout=PATIENCE_S)
    assert searching.returncode == 130
    assert "interrupted" in told
    assert [line.split()[0] for line in lines(printed) if " fcntl " in line][:1] == ["mine"]
