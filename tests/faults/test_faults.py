"""A sample of the matrix of faults: every call and errno of every command once, at a place drawn with a seed.

`python -m tests.faults` runs all of it. What is not counted as a fault of the lab, and why:

- Before the first file of `lab/cli` is opened the interpreter starts: what fails there fails in every Python program.
- EDEADLK is not injected into lock calls: it is the kernel's word that the scenario's order of locks is wrong.
- SIGUSR1 ends the lab, as it ends every program that does not expect it; after it and SIGKILL files may stay.
"""

from __future__ import annotations

import errno
import json
import random
from collections.abc import Iterator

import pytest

from tests.faults.cell import Cell, Trial, compiled
from tests.faults.matrix import COMMANDS, LIMIT_S, SAMPLED, SMALL, trials
from tests.helpers import EXHAUSTIVE

SEED = 14

pytestmark = pytest.mark.needs("compiler", "namespaces", "mounts", "compiled")


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """A cell for the trials of this process."""
    library = compiled(tmp_path_factory.mktemp("library"))
    with Cell(tmp_path_factory.mktemp("cell"), library) as made:
        yield made


def sample(command: str, counted: dict[str, list[int]]) -> list[Trial]:
    """Of every so-manieth call, errno and process one trial, at a place that the seed draws; exhaustive: of each."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials(command, counted):
        groups.setdefault(trial.name.rpartition(" ")[0], []).append(trial)
    every = 1 if EXHAUSTIVE else SAMPLED[command]
    chosen = list(groups.items())[SEED % every :: every]
    return [random.Random(f"{SEED} {name}").choice(group) for name, group in chosen]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", SAMPLED)
def test_each_call_that_fails_is_one_line_a_documented_exit_code_and_leaves_nothing(command: str, cell: Cell) -> None:
    whole = cell.run(Trial(command, COMMANDS[command], codes=(0,), counts=True))
    assert whole.flags == [], whole.stderr
    flagged = []
    for trial in sample(command, whole.counted):
        outcome = cell.run(trial)
        if outcome.flags:
            flagged.append(f"{trial.name}: {outcome.flags}, exit code {outcome.code}\n{outcome.stderr}")
    assert flagged == [], "\n".join(flagged)


def test_the_cell_sees_what_a_command_leaves(cell: Cell) -> None:
    """A rig that flags nothing shows nothing: a missing command, a killed parent and its files are seen."""
    killed = cell.run(Trial("killed", COMMANDS["race"], "fork:2:main:s9", (0,)))
    assert killed.code == -9
    assert "exit code: -9" in killed.flags
    assert any(flag.startswith("left: work/.out.json.") for flag in killed.flags)
    assert cell.run(Trial("wrong", ("rice",), codes=(0,))).flags == ["exit code: 2"]


@pytest.mark.parametrize(
    ("call", "error"),
    [("fork", errno.EAGAIN), ("pipe", errno.EMFILE), ("fallocate", errno.ENOSPC)],
)
def test_what_was_finished_before_a_call_failed_is_kept(call: str, error: int, cell: Cell) -> None:
    """The last such call of the second case: the document holds the first case, and why there is no second."""
    two = ("race", "counter", "bank", "--locked", "--no-explore", *SMALL, "--json", "-")
    whole = cell.run(Trial("two", two, codes=(0,), counts=True))
    made = cell.run(Trial("two", two, f"{call}:{whole.counted[call][0]}:main:{error}", codes=(3,)))
    assert made.flags == []
    assert [case["verdict"] for case in json.loads(made.stdout)["cases"]] == ["clean", "unsupported"]
    assert made.stderr.count("\n") == 1


def test_a_child_that_is_stopped_at_its_first_call_is_not_waited_for(cell: Cell) -> None:
    made = cell.run(Trial("stopped", COMMANDS["race"], "any:1:child:s19", codes=(3, 4)))
    assert made.flags == []


@pytest.mark.parametrize(("call", "error"), [("poll", errno.ENOMEM), ("write", errno.EIO)])
def test_a_call_of_the_process_that_watches_a_check_fails(call: str, error: int, cell: Cell) -> None:
    """The check ends, says why, and its folder goes, or is named."""
    made = cell.run(Trial("check", COMMANDS["check"], f"{call}:1:main:{error}", codes=(0, 3), limit_s=LIMIT_S))
    assert made.flags == []
    assert made.stderr
