"""Random programs: none shows a difference where there is none, and a short one shows each that there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

from lab.checking.actors import controller, pool
from lab.checking.actors.pool import ActorPool
from lab.checking.fuzz import run
from lab.checking.fuzz.compare import Differs, Ended, LeftOpen, Twins
from lab.checking.fuzz.generate import FAMILIES, Program
from lab.checking.fuzz.run import BATCH, Search, perform_batch
from lab.checking.language import SET, SUCCESS, Call, parse
from lab.checking.oracle import ModelStage
from lab.checking.runner import departures
from lab.memory import workspace
from tests.checking.mounts import FILESYSTEMS
from tests.checking.mutants.build import MUTANTS, stage_of
from tests.checking.regressions import AGREED, LEFT_OPEN
from tests.helpers import in_fresh_process

if TYPE_CHECKING:
    from lab.checking.actors.stage import RealStage

pytestmark = pytest.mark.mounts

SHM = Path("/dev/shm")  # noqa: S108 - a tmpfs
SECONDS = 4.0
LOOKS = 120


class Clock:
    """Goes on by each look at it, one a program: SECONDS are over after so many LOOKS, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += SECONDS / LOOKS
        return self.now


def found(directories: list[str], mutant: str = "", most: int = 1) -> Any:
    """What random programs find, started where they work; nothing is left there, and none of the actors."""
    vars(run).update(time=Clock(), MOST_DIFFERENCES=most)
    model = next((partial(stage_of, each) for each in MUTANTS if each.__name__ == mutant), ModelStage)
    with workspace(Path(directories[0])) as folder:
        os.chdir(folder)
        with ActorPool([Path(directory) / folder.name for directory in directories]) as actor_pool:
            result = Search(actor_pool, FAMILIES, SECONDS, 5, lambda _: None, model).perform()
        assert not list(folder.iterdir())
    assert actor_pool.stuck == []
    assert not psutil.Process().children()
    return asdict(result)


def found_on(filesystem: str, find: Callable[[list[str]], Any] = found) -> Any:
    with ExitStack() as stack:
        directories = stack.enter_context(FILESYSTEMS[filesystem]())
        return in_fresh_process(find, list(map(str, directories)))


def found_soon(directories: list[str]) -> Any:
    """The same with less patience for those that wait, where a lock is known to wake nobody."""
    vars(controller).update(WAKE_S=0.5)
    vars(pool).update(CEILING_S=1.0)
    return found(directories)


@pytest.mark.parametrize("filesystem", ["tmpfs", "ext4", "fuse_honest", "fuse_honest_two"])
def test_model_and_kernel_agree(filesystem: str) -> None:
    result = found_on(filesystem)
    assert result["differences"] == []
    assert result["programs"] > BATCH / 10
    assert result["calls"] > 5 * result["programs"]
    assert result["open"] <= 1 + result["programs"] / 100


def test_locks_that_are_refused_are_left_out_until_none_is_left() -> None:
    result = found_on("fuse_enosys")
    assert result["differences"] == []
    assert result["programs"] < BATCH


@pytest.mark.parametrize(
    ("filesystem", "guarantee"), [("fuse_wakes_nobody", "blocking"), ("fuse_false_deadlock", "deadlock")]
)
def test_a_broken_server_is_found_out(filesystem: str, guarantee: str) -> None:
    assert [each["guarantee"] for each in found_on(filesystem, found_soon)["differences"]] == [guarantee]


BROKEN = [
    "NeverMerges",
    "RangesAreIgnored",
    "PosixAndOfdKnowNothingOfEachOther",
    "ReadersPassWriters",
    "CloseReleasesNothing",
    "FlockGrantsEverything",
    "TheDeadKeepTheirLocks",
    "WakesNobody",
]
"""Models that are broken; the kernel differs from them as a broken mount does from the model, the other way round."""


def shown_again(mutant: str) -> list[tuple[Any, str | None]]:
    """The first difference from this model, and what its last call comes to once more."""
    differences = found([str(SHM)], mutant)["differences"]
    return [(each, performed_again(each["calls"], each["expected"])) for each in differences]


def performed_again(calls: list[str], expected: str) -> str | None:
    """What the last of the calls comes to once more, where it is not what was expected."""
    *before, last = parse("\n".join(calls))
    steps = [*before, last._replace(expected=(expected,))]
    with workspace(SHM) as folder, ActorPool([folder]) as actor_pool, actor_pool.stage() as stage:
        departed = next(iter(departures(steps, stage)), None)
    return departed.observed if departed else None


@pytest.mark.parametrize("mutant", BROKEN)
def test_a_difference_is_told_by_a_short_program_that_shows_it_again(mutant: str) -> None:
    [(difference, again)] = in_fresh_process(shown_again, mutant)
    assert len(difference["calls"]) <= 12
    assert difference["expected"] != difference["observed"] == again


def test_after_a_difference_one_of_another_kind_is_looked_for() -> None:
    differences = in_fresh_process(found, [str(SHM)], "RangesAreIgnored", most=2)["differences"]
    assert len({each["calls"][-1].split()[1] for each in differences}) == 2


def drawn(*numbers: int) -> list[list[Program]]:
    """The programs of these seeds."""
    batches: list[list[Program]] = [[] for _ in numbers]
    for batch, number in zip(batches, numbers, strict=True):
        perform_batch(batch.append, number)
    return batches


def test_the_same_seed_draws_the_same_programs() -> None:
    ([first], [other, again]) = (in_fresh_process(drawn, *numbers) for numbers in ((1,), (2, 1)))
    assert len(first) == BATCH
    assert first == again != other


def all_compared() -> dict[str, list[str]]:
    """What the calls of each program come to on model and kernel, and why it ends before its end."""
    return {name: compared(program) for name, program in {**AGREED, **LEFT_OPEN}.items()}


def compared(program: str) -> list[str]:
    calls = [step.call for step in parse(program) if step.call.verb not in ("waits", "returns")]
    with workspace(SHM) as folder, ActorPool([folder]) as actor_pool, actor_pool.stage() as stage:
        twins = Twins(ModelStage(), stage)
        try:
            twins.perform_calls(calls)
        except Ended as ended:
            return [*ended.calls, type(ended).__name__]
    return twins.calls


class Releasing(ModelStage):
    """The model as a FUSE server may be: it hears of a close only after it was asked for so many locks."""

    spread = False

    def __init__(self, after: float) -> None:
        super().__init__()
        self._after = after
        self._asked = 0
        self._closing: list[Call] = []

    def perform(self, call: Call, expected: Sequence[str] = ()) -> str:
        if call.verb == "close":
            self._closing.append(call)
            return "ok"
        self._asked += bool(self._closing) and call.verb != "open"
        while self._closing and self._asked > self._after:
            super().perform(self._closing.pop())
        return super().perform(call, expected)

    def disturbed(self, _: Iterable[str]) -> list[str]:
        return []


LATE = "A: open f; B: open f; A: F_OFD_SETLK f write 2 2; A: close f; "


@pytest.mark.parametrize("asks", ["F_OFD_SETLK f write 0 9", "F_OFD_GETLK f write 0 9", "F_SETLK f read 2 1"])
@pytest.mark.parametrize(("after", "differs"), [(3, False), (inf, True)])
def test_a_lock_that_goes_a_little_after_the_close_is_no_difference_and_one_that_stays_is(
    asks: str, after: float, differs: bool
) -> None:
    twins = Twins(ModelStage(), cast("RealStage", Releasing(after)), patience_s=0.1)
    with pytest.raises(Differs) if differs else nullcontext():
        twins.perform_calls(step.call for step in parse(f"{LATE} B: {asks}"))


def test_a_lock_that_is_met_though_nobody_closed_is_a_difference_at_once() -> None:
    stage = Releasing(inf)
    for call in parse("C: open f; C: F_OFD_SETLK f write 2 2"):
        stage.perform(call.call)
    twins = Twins(ModelStage(), cast("RealStage", stage), patience_s=inf)
    with pytest.raises(Differs):
        twins.perform_calls(step.call for step in parse("A: open f; A: F_OFD_SETLK f write 0 9"))


def as_written(program: str) -> list[str]:
    steps = parse(program)
    return [
        f"{step.call} = {ok_or_granted(step.call.verb) if step.expected == SUCCESS else step.wanted}" for step in steps
    ]


def ok_or_granted(verb: str) -> str:
    return "granted" if verb in SET or verb == "flock" else "ok"


def test_programs_that_once_differed_agree_or_whether_linux_notices_a_ring_is_left_open() -> None:
    agreed = {name: as_written(program) for name, program in AGREED.items()}
    left_open = {name: [*as_written(program), LeftOpen.__name__] for name, program in LEFT_OPEN.items()}
    assert in_fresh_process(all_compared) == agreed | left_open
