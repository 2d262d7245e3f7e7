"""After damage, the shortest interleaving that does the same; or that the model has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.exploring.operation import widest_move
from tests.cli.commands import document, lines, scenario_file
from tests.helpers import run_lab

WIDE = ("--workers", "4", "--rounds", "50", "--trials", "1", "--window", "1000000")
"""A millisecond before each store: nobody gets through its rounds without being interrupted."""

RACY = ("counter", "--unlocked", *WIDE)
LEAKY = ("counter", "--locked", "--leak", "1", *WIDE)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, Path]]:
    """Two damaged races: what each ended with, what it printed, and its document."""
    folder = tmp_path_factory.mktemp("raced")
    ended = {}
    for name, how in (("racy", RACY), ("leaky", LEAKY)):
        done = run_lab("race", *how, "--explain", "--json", f"{name}.json", cwd=folder)
        ended[name] = done.returncode, done.stdout, folder / f"{name}.json"
    return ended


def case(path: Path) -> dict[str, Any]:
    (only,) = document(path.read_text())["cases"]
    return dict(only)


def explained(*args: str | Path) -> tuple[dict[str, Any], str]:
    """The first case of an explained race, and what it prints."""
    done = run_lab("race", *args, "--trials", "1", "--explain", "--json", "it.json")
    return dict(document(Path("it.json").read_text())["cases"][0]), done.stdout


def test_for_a_lock_that_lies_the_model_has_no_reason(raced: dict[str, tuple[int, str, Path]]) -> None:
    code, printed, path = raced["leaky"]
    found = case(path)
    assert (code, found["verdict"]) == (1, "damaged")
    assert (found["explanation"]["verdict"], found["explanation"]["exhausted"]) == ("holds", True)
    assert found["explanation"]["steps"] == []
    assert "why counter under fcntl broke: the model has no reason for it" in printed
    assert "look at the lock" in printed


def test_without_the_option_nothing_is_explained() -> None:
    done = run_lab("race", *RACY, "--json", "-", "--no-save")
    (found,) = document(done.stdout)["cases"]
    assert (found["verdict"], found["explanation"]) == ("damaged", None)


def test_a_scenario_of_ones_own_is_explained_with_a_token_of_its_path(tmp_path: Path) -> None:
    work = "value = w.memory.value\nw.pause()\nw.memory.value = value + 1"
    mine = scenario_file(tmp_path / "mine.py", work, check="return Damage('odd', 1, outcome.rounds)")
    found, _ = explained(mine, "--workers", "2")
    assert found["explanation"]["damage"][0]["kind"] == "odd"
    assert found["explanation"]["token"].startswith(f"L1,{mine},fcntl,2x1,{widest_move()},")


def test_a_hang_is_explained_as_a_deadlock() -> None:
    found, printed = explained("opposite_order", "--lock", "ofd", "--rounds", "2000", "--workers", "2")
    assert found["verdict"] == "timeout"
    assert found["explanation"]["damage"][0]["kind"] == "deadlock"
    assert "WAITS" in printed


def test_damage_is_explained_by_the_shortest_interleaving_that_does_it(raced: dict[str, tuple[int, str, Path]]) -> None:
    code, printed, path = raced["racy"]
    found = case(path)
    explanation = found["explanation"]
    assert (code, found["verdict"]) == (0, "damaged")
    assert (explanation["scenario"], explanation["lock"], explanation["verdict"]) == ("counter", "none", "broken")
    assert (explanation["workers"], explanation["rounds"], explanation["preemptions"]) == (2, 1, 1)
    assert [(step["operation"], step["value"]) for step in explanation["steps"]] == [
        ("load", 0), ("load", 0), ("store", 1), ("store", 1)
    ]  # fmt: skip
    assert {each["kind"] for each in found["damage"] + explanation["damage"]} == {"lost update"}
    told = printed[printed.index("why counter under none broke") :]
    assert "stored 1 because it had loaded 0" in told
    assert "switch" in told
    assert f"replay: lab replay {explanation['token']}" in lines(told)
    done = run_lab("replay", explanation["token"])
    assert (done.returncode, "reproduced 100 of 100" in lines(done.stdout)) == (0, True)


@pytest.mark.parametrize("name", ["racy", "leaky"])
def test_a_report_tells_the_explanation_again(name: str, raced: dict[str, tuple[int, str, Path]]) -> None:
    _, printed, path = raced[name]
    assert lines(run_lab("report", path).stdout) == lines(printed)[:-1]
    assert all(line.startswith("|") for line in lines(run_lab("report", path, "--format", "github").stdout))


@pytest.mark.parametrize(
    ("what", "rounds", "verdict"),
    [("private_mapping", "5", "damaged"), ("counter", "20", "clean"), ("mine.py", "5", "damaged")],
    ids=["about files", "clean", "cannot be explored"],
)
def test_what_the_model_does_not_have_or_stayed_clean_has_no_explanation(
    what: str, rounds: str, verdict: str, elsewhere: Path
) -> None:
    scenario_file(elsewhere / "mine.py", "w.memory.value = len(w.path)", check="return Damage('odd', 1, 2)")
    found, printed = explained(what, "--locked", "--rounds", rounds, "--workers", "2")
    assert (found["verdict"], found["explanation"]) == (verdict, None)
    assert "why " not in printed


IN_CHUNKS = """
for chunk in range(2):
    with w.write_lock(self.Memory.cells, 2 * chunk, 2):
        w.memory.cells[1 + chunk] = w.index + 1
"""
IN_ONE = """

class Fixed(Scripted):
    def work(self, w):
        with w.write_lock(self.Memory.cells):
            w.memory.cells[1] = w.memory.cells[2] = w.index + 1
"""
"""A write over two chunks under a lock each: later rounds cover the damage before the only check (a public report)."""


def test_a_race_that_covers_its_damage_is_explored_and_its_mended_form_is_clean(tmp_path: Path) -> None:
    check = "return Damage('mixed write', memory.cells[1] != memory.cells[2], 1)"
    mine = scenario_file(tmp_path / "mine.py", IN_CHUNKS, check=check, syntax=IN_ONE)
    how = ("--workers", "2", "--rounds", "1", "--trials", "1", "--json", "it.json")
    done = run_lab("race", mine, *how, "--explain")
    cases = {each["scenario"]: each for each in document(Path("it.json").read_text())["cases"]}
    naive, mended = cases["mine"], cases["mine:fixed"]
    assert (done.returncode, naive["verdict"], mended["verdict"]) == (1, "damaged", "clean")
    assert mended["explored"]["verdict"] == "holds"
    if not naive["damage"]:  # two rounds in all hardly ever meet
        assert "the race found no corruption; exploring breaks it in 1 preemption: mixed write" in done.stderr
        assert "why mine under fcntl breaks, the shortest interleaving" in done.stdout
        assert f"replay: lab replay {naive['explored']['token']}" in lines(done.stdout)
    unexplored = run_lab("race", f"{mine}:fixed", *how, "--no-explore")
    (only,) = document(Path("it.json").read_text())["cases"]
    assert (unexplored.returncode, only["verdict"], only["explored"]) == (0, "clean", None)
