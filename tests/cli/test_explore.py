"""What `explore` counts, prints and writes, as a user meets it."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lab import records as results
from lab.exploring.operation import widest_move
from lab.scenario import find_scenarios
from tests.cli.commands import Terminal, document, lines, refusal, scenario_file, start_lab
from tests.cli.test_race import DEFAULT_SET
from tests.helpers import PATIENCE_S, ROOT, run_lab

ADD = "w.memory.value += 1"
LOST = "return Damage('lost update', outcome.rounds - memory.value, outcome.rounds)"
SIMULATED = ["short_range", "check_then_lock", "opposite_order"]
"""The counterexamples that are not about processes or files."""

Printed = tuple[str, Path]


def explored(*args: str | Path) -> tuple[int, dict[str, Any]]:
    """`explore` with these arguments: its exit code and its document."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "it.json"
        done = run_lab("explore", *args, "--json", path)
        assert path.exists(), done.stderr
        return done.returncode, document(path.read_text())


def text(*args: str | Path) -> str:
    """What `explore` prints with these arguments."""
    return run_lab("explore", *args).stdout


def case(*args: str | Path) -> dict[str, Any]:
    """The one case of an exploration."""
    _, made = explored(*args)
    (only,) = made["cases"]
    return dict(only)


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """What the default run printed, and its document."""
    folder = tmp_path_factory.mktemp("explored")
    done = run_lab("explore", "--json", "explored.json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, folder / "explored.json"


# Counts


@pytest.mark.parametrize(
    ("lock", "options", "schedules", "broken"),
    [
        ("none", "--search all", 70, 64),
        ("none", "--search all --jobs 2", 70, 64),
        ("none", "--search dpor", 34, None),
        ("none", "--search bound --preemptions 1", 8, None),
        ("none", "--search bound --preemptions 2", 26, None),
        ("none", "--search bound --preemptions 3", 44, None),
        ("fcntl", "--search all", 6, 0),
        ("fcntl", "--search dpor", 6, 0),
        ("ofd", "--search all", 6, 0),
        ("flock", "--search all", 6, 0),
    ],
)
def test_the_counter_has_as_many_schedules_as_can_be_worked_out(
    lock: str, options: str, schedules: int, broken: int | None
) -> None:
    made = case("counter", "--lock", lock, "--workers", "2", "--rounds", "2", *options.split())
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


@pytest.mark.parametrize("search", ["all", "random", "pct"])
def test_two_jobs_find_a_failure(search: str) -> None:
    made = case("counter", "--lock", "none", "--search", search, "--jobs", "2")
    assert (made["verdict"], made["preemptions"], len(made["steps"])) == ("broken", 1, 4)


@pytest.mark.parametrize("search", ["random", "pct"])
def test_the_same_seed_draws_the_same_schedules_and_another_draws_others(search: str) -> None:
    def drawn(seed: str) -> list[str]:
        """The schedules up to the first that breaks."""
        how = ("bank", "--lock", "none", "--workers", "3", "--rounds", "3", "--search", search, "--seed", seed)
        return list(case(*how, "--show-schedules", "100")["schedules_shown"])

    assert drawn("5") == drawn("5") != drawn("6")


# The default set and the counterexamples


def test_each_of_the_default_set_breaks_without_the_lock_and_holds_exhausted_with_it(default_run: Printed) -> None:
    cases = document(default_run[1].read_text())["cases"]
    assert [(each["scenario"], each["lock"]) for each in cases] == [
        (name, lock) for name in DEFAULT_SET for lock in ("none", "fcntl")
    ]
    for without, locked in zip(cases[::2], cases[1::2], strict=True):
        assert (without["verdict"], without["expected"], without["preemptions"]) == ("broken", "broken", 1)
        assert without["schedules"] <= (10 if without["scenario"] == "counter" else 20)
        assert (locked["verdict"], locked["exhausted"], locked["broken_schedules"]) == ("holds", True, 0)
        assert (locked["workers"], locked["rounds"]) == (2, 2)


def test_each_counterexample_breaks_under_the_locks_that_it_announces_and_its_fix_holds() -> None:
    code, made = explored(*SIMULATED, "--lock", "fcntl", "--lock", "ofd", "--lock", "flock")
    assert code == 0
    by_name = {(each["scenario"], each["lock"]): each for each in made["cases"]}
    assert {place for place, each in by_name.items() if each["verdict"] == "broken"} == {
        ("short_range", "fcntl"), ("short_range", "ofd"),
        ("check_then_lock", "fcntl"), ("check_then_lock", "ofd"), ("check_then_lock", "flock"),
        ("opposite_order", "fcntl"), ("opposite_order", "ofd"),
    }  # fmt: skip
    held = [each for each in made["cases"] if each["verdict"] != "broken"]
    assert {(each["verdict"], each["exhausted"]) for each in held} == {("holds", True)}
    assert {each["scenario"] for each in held} >= {f"{name}:fixed" for name in SIMULATED}
    refused, hung = by_name["opposite_order", "fcntl"], by_name["opposite_order", "ofd"]
    assert refused["damage"][0]["kind"] == "deadlock (EDEADLK)"
    assert "EDEADLK" in [step["value"] for step in refused["steps"]]
    assert (hung["damage"][0]["kind"], hung["damage"][0]["count"]) == ("deadlock", 2)
    assert [step["value"] for step in hung["steps"]][-2:] == ["waits", "waits"]
    assert max(refused["schedules"], hung["schedules"]) <= 10


def test_counterexamples_come_beside_the_default_set_as_far_as_they_are_simulated() -> None:
    _, made = explored("--counterexamples", "--search", "bound", "--preemptions", "0", "--rounds", "1")
    names = list(dict.fromkeys(each["scenario"] for each in made["cases"]))
    assert [name for name in names if ":" not in name] == [*DEFAULT_SET, *SIMULATED]


# The document


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
        "line_bytes": 32, "seed": 7, "jobs": 1, "time_limit_s": 3.0, "show_schedules": 4, "crash": [], "unit": "page",
        "crashes": 2, "operations": None, "callers": [3],
    }  # fmt: skip


def test_the_document_has_the_keys_of_the_published_schema(default_run: Printed) -> None:
    records = json.loads((ROOT / "docs" / "explore.schema.json").read_text())["$defs"]
    made = document(default_run[1].read_text())

    def fits(record: str, *found: dict[str, Any]) -> None:
        assert found
        for each in found:
            assert each.keys() == records[record]["properties"].keys()

    assert next(iter(made)) == "schema"
    fits("Exploration", made)
    fits("Environment", made["environment"])
    fits("ExploreOptions", made["options"])
    fits("ExploredCase", *made["cases"])
    fits("Damage", *(damage for each in made["cases"] for damage in each["damage"]))
    fits("Step", *(step for each in made["cases"] for step in each["steps"]))
    fits("SmallestShape", *(each["shrunk"] for each in made["cases"] if each["shrunk"]))


def test_a_document_is_kept_in_the_folder_that_is_named_and_reads_back(tmp_path: Path) -> None:
    done = run_lab("explore", "counter", "--save", tmp_path)
    (kept,) = tmp_path.glob("*.json")
    read = results.load_any(kept)
    assert read.command == "explore"
    assert results.encode(read) == kept.read_bytes()
    assert lines(done.stdout)[-1] == f"written to {kept}"


# The text


FAILURE = f"""
2 workers x 2 rounds, simulated: each load, store, lock and unlock is a step, in
one order for all; copies are moves of at most {widest_move()} bytes, in order; the lock is a
model

scenario  lock  verdict                         runs  preemptions  search
--------  ----  ------------------------------  ----  -----------  ------
counter   none  broken (expected): lost update     3            1  auto

lost update: worker 0 overwrites what worker 1 stored in value

  step            worker 0    worker 1    memory
------  --------  ----------  ----------  --------
     1            value -> 0
     2  switch >              value -> 0
     3                        value = 1   value 1
     4  >         value = 1               value 1

x -> 0: loads 0 from x; x = 1: stores 1 to x; switch >: another worker goes on,
though the last one could; >: another worker goes on, as the last one cannot

because
  worker 0 stored 1 because it had loaded 0;
  it loaded 0 because worker 1 had not yet stored 1;
  so worker 1's addition is lost.

found: 1 preemption, after 3 runs, shrunk from 2 workers x 2 rounds (8 steps) to
  2 x 1 (4 steps) in 3 runs more
replay: lab replay TOKEN
"""


def test_a_failure_is_told_step_by_step_with_its_reasons_and_the_line_to_paste() -> None:
    done = run_lab("explore", "counter", "--lock", "none", "--json", "it.json")
    (only,) = document(Path("it.json").read_text())["cases"]
    wanted = FAILURE.replace("TOKEN", only["token"])
    assert lines(done.stdout) == [*lines(wanted), "written to it.json"]
    assert lines(run_lab("report", "it.json").stdout) == lines(wanted)


def test_several_failures_get_a_headline_and_a_line_to_paste_each(default_run: Printed) -> None:
    printed, path = default_run
    tokens = [each["token"] for each in document(path.read_text())["cases"] if each["token"]]
    pasted = [line.strip().removeprefix("lab replay ") for line in lines(printed) if "lab replay L1" in line]
    assert pasted == tokens
    assert len(tokens) == len(find_scenarios([]))


def test_what_holds_says_what_was_exhausted() -> None:
    printed = text("counter", "--lock", "fcntl")
    assert "holds in every interleaving" in printed
    assert "counter under fcntl holds in all 6 schedules of 2 workers x 2 rounds" in " ".join(printed.split())


def test_a_bound_that_leaves_schedules_out_holds_without_being_exhausted() -> None:
    how = ("counter", "--lock", "fcntl", "--workers", "3", "--search", "bound", "--preemptions", "0")
    made = case(*how)
    assert (made["verdict"], made["exhausted"], made["bound"]) == ("holds", False, 0)
    done = run_lab("explore", *how)
    assert (done.returncode, "at most 0 preemptions" in done.stdout, "every" in done.stdout) == (0, True, False)


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


def test_quiet_prints_nothing_but_what_broke_on_stderr(tmp_path: Path) -> None:
    done = run_lab("explore", "counter", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run_lab("explore", scenario_file(tmp_path / "mine.py", ADD, check=LOST), "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: mine under fcntl: broken where it should hold: lost update: ")


def test_a_format_that_is_not_for_people_is_the_table_and_nothing_else() -> None:
    github = lines(text("counter", "--format", "github"))
    assert [line[0] + line[-1] for line in github] == ["||"] * 4
    head, *rows = csv.reader(lines(text("counter", "--format", "csv")))
    assert head[:3] == ["scenario", "lock", "verdict"]
    assert [(row[:2], len(row)) for row in rows] == [(["counter", lock], len(head)) for lock in ("none", "fcntl")]


@pytest.mark.parametrize(("bytes_", "verdict", "told"), [("8", "broken", True), ("64", "holds", False)])
def test_an_aligned_record_of_64_bytes_is_torn_only_by_a_finer_tear_labelled_hypothetical(
    bytes_: str, verdict: str, told: bool
) -> None:
    how = ("torn_record", "--lock", "none", "--rounds", "1", "--tear", bytes_)
    made = case(*how)
    assert (made["verdict"], made["line_bytes"]) == (verdict, int(bytes_))
    assert [each["kind"] for each in made["damage"]] == ["torn record of 64 bytes"] * told
    assert ("hypothetical" in text(*how)) is told


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


def test_a_terminal_gets_colours_and_what_is_none_gets_no_escape_codes() -> None:
    done = run_lab("explore", "counter", env={"TERM": "xterm-256color"})
    assert "\x1b" not in done.stdout + done.stderr
    terminal = Terminal()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    with start_lab("explore", "counter", stdout=terminal.end, env={**kept, "TERM": "xterm-256color"}) as lab:
        terminal.hand_over()
        printed = terminal.read()
        lab.communicate(timeout=PATIENCE_S)
    terminal.close()
    assert "\x1b[32mholds\x1b[0m" in printed
    assert "\x1b[1;33mswitch >\x1b[0m" in printed


# Verdicts and exit codes


@pytest.mark.parametrize(
    ("work", "attributes", "code", "verdict"),
    [
        (f"with w.write_lock(self.Memory.value):\n    {ADD}", "", 0, "holds"),
        (ADD, "", 1, "broken"),
        (ADD, 'expects = {"fcntl": "damaged"}', 0, "broken"),
    ],
    ids=["holds", "breaks", "breaks as announced"],
)
def test_a_scenario_of_ones_own_ends_with_0_unless_it_breaks_where_it_should_hold(
    work: str, attributes: str, code: int, verdict: str, tmp_path: Path
) -> None:
    mine = scenario_file(tmp_path / "mine.py", work, check=LOST, attributes=attributes)
    ended, made = explored(mine)
    (only,) = made["cases"]
    assert (ended, only["scenario"], only["lock"], only["verdict"]) == (code, "mine", "fcntl", verdict)
    assert only["expected"] == ("broken" if attributes else "holds")
    assert only["exhausted"] is (verdict == "holds")
    assert (str(mine) in (only["token"] or "")) is (verdict == "broken")


@pytest.mark.parametrize(
    ("work", "kind", "evidence"),
    [
        (
            "w.memory.value += 1\nif w.memory.value > 1 and w.index == 0:\n    w.damaged('met the other')",
            "met the other",
            "",
        ),
        (
            "if w.memory.value:\n    raise ValueError('half')\nw.memory.value = 1\nw.memory.value = 0",
            "raised ValueError",
            r"half \(\S+mine.py:\d+\)",
        ),
    ],
    ids=["reports", "raises when cut apart"],
)
def test_what_a_worker_reports_or_raises_is_damage(work: str, kind: str, evidence: str, tmp_path: Path) -> None:
    code, made = explored(scenario_file(tmp_path / "mine.py", work), "--rounds", "1")
    (only,) = made["cases"]
    assert (code, only["verdict"], only["damage"][0]["kind"]) == (1, "broken", kind)
    assert re.search(evidence, " ".join(only["damage"][0]["evidence"]))


@pytest.mark.parametrize("search", ["auto", "bound", "all", "states", "dpor", "random", "pct"])
def test_what_a_limit_cut_is_unknown_and_never_called_exhausted(search: str) -> None:
    how = ("--workers", "3", "--rounds", "4", "--search", search, "--preemptions", "30", "--time-limit", "0.1")
    done = run_lab("explore", "ring_queue", "--lock", "fcntl", *how, "--json", "it.json")
    (only,) = document(Path("it.json").read_text())["cases"]
    said = done.stdout + done.stderr
    assert (done.returncode, only["verdict"], only["exhausted"]) == (3, "unknown", False)
    assert "  inconclusive  " in done.stdout
    assert "raise --time-limit" in said
    assert "every interleaving" not in said.lower()
    assert " holds" not in done.stdout


def test_a_random_search_that_found_nothing_is_unknown_with_two_jobs_too() -> None:
    made = case("counter", "--lock", "fcntl", "--search", "random", "--time-limit", "0.1", "--jobs", "2")
    assert (made["verdict"], made["exhausted"], made["broken_schedules"]) == ("unknown", False, 0)
    assert made["schedules"] > 0


def test_a_document_that_cannot_be_written_is_told_before_anything_is_explored(tmp_path: Path) -> None:
    """There are more schedules than any test waits for."""
    large = ("counter", "--lock", "fcntl", "--workers", "4", "--rounds", "5", "--time-limit", "600")
    assert "cannot be written" in refusal(3, "explore", *large, "--json", tmp_path / "none" / "it.json")
