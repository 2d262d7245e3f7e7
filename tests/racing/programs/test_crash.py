"""A copy of a program is killed at each place of a round: what recovery does not mend is found, and nothing else is."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lab.errors import ScenarioError
from lab.processes import GroupReaper
from lab.processes.descendants import living_descendants
from lab.processes.tracer import Call
from lab.racing.cases import run_case, run_faulty
from lab.racing.faults import CRASH_OF_PROGRAM
from lab.racing.programs.cases import cases_of_program, run_alone
from lab.racing.programs.check import check_of, dealt
from lab.racing.programs.crash import KilledBetween, drawn, recover, round_length
from lab.racing.programs.faulty import Learnt, Paused
from lab.records import Options
from tests.helpers import PATIENCE_S, in_fresh_process
from tests.needs import need, need_program
from tests.racing.programs.building import written

SOURCE = Path(__file__).with_name("journal.c")
CHECK = """
from struct import unpack
from lab import Damage

def prepare(path):
    path.write_bytes(bytes(40))

def check(path, outcome):
    a, b, *_ = unpack("5q", path.read_bytes())
    return [Damage("money", abs(a + b), outcome.rounds), Damage("lost", max(0, outcome.rounds - b), outcome.rounds),
            Damage("twice", max(0, b - outcome.rounds), outcome.rounds)]
"""
ROUNDS = 3


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("compiler")
    program = tmp_path_factory.mktemp("journal") / "journal"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    written(program.with_name("money.py"), CHECK)
    return program


def options(program: str, check: str, folder: str, recovery: str = "", workers: int = 2) -> Options:
    return Options(
        scenarios=[], locks=[], workers=[workers], rounds=ROUNDS, trials=1, directory=folder, seed=7, pin=None,
        window_ns=0, leak=0.0, time_limit_s=PATIENCE_S, program=program, check=check, recover=recovery, crash="kill",
    )  # fmt: skip


def killed(
    asked: Options, places: Sequence[int], limit_s: float = PATIENCE_S, patience_s: float = PATIENCE_S
) -> list[list[Any]]:
    """Of a trial for each of these calls, before which a copy is killed and then the others begin: what was found."""
    _, case = cases_of_program(asked)
    setting = replace(case.setting, time_limit_s=patience_s)
    found: list[list[Any]] = []
    with GroupReaper():
        before = living_descendants()
        for number, place in enumerate(places):

            def meddle(file: Path, place: int = place) -> KilledBetween:
                copies = setting.programs
                return KilledBetween("0", file, PATIENCE_S, copies, Learnt(), (True, place), together=False)

            then = partial(recover, limit_s=limit_s)
            result = run_alone(setting, number, [Path(asked.directory)], meddle=meddle, then=then)
            reasons = [f"{each.worker} {each.reason} {each.trace}" for each in result.failures]
            kinds = [each.kind for each in result.damage]
            orphans = [str(each) for each in result.orphans]
            found.append(
                [result.kills_inside, kinds, reasons, orphans, result.fault_note, living_descendants() == before]
            )
    return found


def of_journal(program: str, mode: str, how: str, folder: str, places: Sequence[int], *more: float) -> Any:
    command = f"{program} {{file}} {{rounds}} - {mode}"
    recovery = f"{program} {{file}} recover {how}" if how != "none" else ""
    return killed(options(command, str(Path(program).with_name("money.py")), folder, recovery), places, *more)


RIGHT = ["fcntl", *["pread64"] * 3, *["pwrite64"] * 6, "fcntl"]
HALF = ["fcntl", *["pread64"] * 2, *["pwrite64"] * 2, "fcntl"]


def name_of(row: list[Any]) -> str:
    """The call before which the copy was killed."""
    return str(row[4]).split(" before ")[1].split(" of ")[0]


def test_what_is_undone_is_right_wherever_a_copy_is_killed(built: Path, tmp_path: Path) -> None:
    places = [0, 5, 7, 8, 9, 10]
    asked = [1 + len(RIGHT) + number for number in places]
    rows = in_fresh_process(of_journal, str(built), "right", "", str(tmp_path), asked)
    assert [name_of(row) for row in rows] == [RIGHT[number] for number in places]
    assert [row[0] for row in rows] == [0, *[1] * (len(places) - 1)]
    assert [row[1:4] for row in rows] == [[[], [], []]] * len(places)


def test_without_a_command_the_next_copy_recovers(built: Path, tmp_path: Path) -> None:
    places = [1 + len(RIGHT) + number for number in (8, 9)]
    rows = in_fresh_process(of_journal, str(built), "right", "none", str(tmp_path), places)
    assert [[name_of(row), *row[1:4]] for row in rows] == [["pwrite64", [], [], []]] * 2


def test_half_an_update_is_found_where_it_is_half(built: Path, tmp_path: Path) -> None:
    places = [3, 4, 5]
    asked = [1 + len(HALF) + number for number in places]
    rows = in_fresh_process(of_journal, str(built), "half", "", str(tmp_path), asked)
    assert [name_of(row) for row in rows] == [HALF[number] for number in places]
    assert [row[1] for row in rows] == [[], ["money"], []]


def test_a_lock_file_that_stays_lets_nobody_in(built: Path, tmp_path: Path) -> None:
    ((_, kinds, (reason,), *_),) = in_fresh_process(
        of_journal, str(built), "stays", "", str(tmp_path), [3], PATIENCE_S, 0.3
    )
    assert (kinds, "was not let in after a death: it was still at work after 0.3 s" in reason) == ([], True)


FAILED = {
    "fails": "-3 recovery exited with 7: no journal here the last lines of the recovery's standard error:\n  first",
    "hangs": "-3 recovery was still at work after 0.3 s",
    "killed": "-3 recovery was killed by SIGKILL",
}


def recoveries(program: str, folder: str) -> list[str]:
    return [of_journal(program, "right", how, folder, [5], 0.3)[0][2][0] for how in FAILED]


def test_a_recovery_that_fails_hangs_or_is_killed_is_told_as_that(built: Path, tmp_path: Path) -> None:
    for wanted, told in zip(FAILED.values(), in_fresh_process(recoveries, str(built), str(tmp_path)), strict=True):
        assert told.startswith(wanted)


SHELL = """
#!/bin/sh
for round in $(seq "$2"); do
    flock "$1.lock" sh -c 'cat "$1" >/dev/null; echo $(($(cat "$1") + 1)) >"$1"; sleep 0.01' - "$1"
done
"""


def of_shell(folder: str) -> Any:
    script = written(Path(folder, "count.sh"), SHELL)
    asked = options(f"{script} {{file}} {{rounds}}", "sh -c 'test $(cat $0) -ge $1' {file} {finished} {begun}", folder)
    return killed(asked, [4, 8])


def test_nothing_is_left_of_what_the_killed_copy_had_started(tmp_path: Path) -> None:
    need_program("flock")
    rows = in_fresh_process(of_shell, str(tmp_path))
    assert [[inside, kinds, failed, orphans, alone] for inside, kinds, failed, orphans, _, alone in rows] == (
        [[1, [], [], [], True]] * 2
    )


def a_row(program: str, folder: str) -> list[Any]:
    """The row of `--crash kill`, of so few trials as it may have."""
    command = f"{program} {{file}} {{rounds}} {{start}} right"
    asked = options(command, str(Path(program).with_name("money.py")), folder, f"{program} {{file}} recover", 3)
    ordinary, case = cases_of_program(asked)
    setting = replace(case.setting, fault=replace(CRASH_OF_PROGRAM, seconds=0.0))
    with GroupReaper():
        first = run_case(ordinary, 1, [Path(folder)])
        row = run_faulty(replace(case, setting=setting), first, [Path(folder)])
    return [row.verdict, row.reason, row.faults_made, row.trials, row.kills_inside in (0, 1), row.expected]


def test_a_row_counts_the_trials_in_which_a_copy_was_killed(built: Path, tmp_path: Path) -> None:
    assert in_fresh_process(a_row, str(built), str(tmp_path)) == ["clean", "", 1, 1, True, "clean"]


def calls(*names: str) -> list[Call]:
    return [Call(name, "data", released=True) for name in names]


def test_each_call_of_a_round_is_a_place_as_often_as_the_others() -> None:
    rounds = calls("openat", *HALF * 9)
    assert round_length([(call.name, call.file) for call in rounds]) == len(HALF)
    places = list(islice(drawn(rounds, waits=False, draws=Random(3)), 4 * len(HALF)))
    assert {number % len(HALF) for _, number in places[: len(HALF)]} == set(range(len(HALF)))
    later = [(number - 1) % len(HALF) for _, number in places if number >= len(HALF)]
    assert {later.count(each) >= 2 for each in range(len(HALF))} == {True}
    assert len({number for _, number in places}) > 2 * len(HALF)
    assert list(drawn([Call("openat", "data", released=False)], waits=True, draws=Random(3))) == []


@pytest.mark.parametrize(
    ("names", "length"), [("", 0), ("a", 0), ("aaaa", 1), ("xabcabcabcabc", 3), ("abcdefgh", 0), ("aabaabaabaab", 3)]
)
def test_the_length_of_a_round_is_that_after_which_its_second_half_repeats(names: str, length: int) -> None:
    assert round_length([(name, "") for name in names]) == length


def test_a_check_holds_for_some_number_of_rounds_of_the_killed_copy(tmp_path: Path) -> None:
    check = check_of(
        str(
            written(
                tmp_path / "mine.py",
                """
                from lab import Damage

                def check(path, outcome):
                    return Damage("lost", outcome.rounds - int(path.read_text()), outcome.rounds)
                """,
            )
        )
    )
    file = tmp_path / "data"
    for content, right in {"99": False, "100": True, "121": True, "150": True}.items():
        file.write_text(content)
        found = check.judge_after_kill(file, [50, 0, 50], [50, 50, 50], PATIENCE_S)
        assert [each.count for each in found] == [0 if right else 1]
    file.write_text("152")
    with pytest.raises(ScenarioError, match=r"counted -\d of 'lost'"):
        check.judge_after_kill(file, [50, 0, 50], [50, 50, 50], PATIENCE_S)


def test_rounds_are_dealt_to_those_who_may_have_done_them() -> None:
    assert dealt([3, 0, 3, 1], [3, 3, 3, 3], 9) == [3, 2, 3, 1]
    assert dealt([3, 0, 3, 1], [3, 3, 3, 3], 12) == [3, 3, 3, 3]


def test_what_learns_kills_nobody() -> None:
    assert Paused.killed is None
