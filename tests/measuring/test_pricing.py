"""The order of what is measured, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.errors import CannotRunError
from lab.measuring.baselines import Others
from lab.measuring.repeat import Failed
from lab.measuring.run import Prices, Timed, _pass_all, settled
from lab.records import BenchOptions


class Scripted(Timed):
    """Writes down when it is measured, and does what the script has for that time."""

    def __init__(self, name: str, order: list[str], script: dict[int, BaseException] | None = None) -> None:
        super().__init__(name)
        self._order = order
        self._script = script or {}
        self._times = 0

    def _measured(self, slice_s: float, *, keep: bool, last: bool) -> float:
        self._order.append(self.name.upper() if last else self.name)
        self._times += 1
        if self._times in self._script:
            raise self._script[self._times]
        return self._times * slice_s


def passed(make: Callable[[list[str]], list[Timed]], repeats: int = 5) -> tuple[str, list[Timed]]:
    order: list[str] = []
    options = BenchOptions([], [], ".", seconds=10.0 * repeats, repeats=repeats)
    prices = Prices([], [], Others(), (1, 1.0))
    timed = make(order)
    try:
        _pass_all(timed, prices.others, options, lambda text: None)
    except KeyboardInterrupt:
        order.append("!")
    return "".join(order), timed


def test_one_pass_goes_forwards_and_the_next_backwards_and_the_first_is_thrown_away() -> None:
    order, (one, two) = passed(lambda order: [Scripted("a", order), Scripted("b", order)])
    assert order == "ab" + "ba" + "ab" + "ba" + "ab" + "BA"
    assert one.samples_ns == two.samples_ns == [20.0, 30.0, 40.0, 50.0, 60.0]


@pytest.mark.parametrize(("error", "failed"), [(Failed("worker 0 hung"), True), (CannotRunError("no room"), False)])
def test_what_cannot_be_measured_is_asked_no_more_and_the_others_go_on(error: Exception, failed: bool) -> None:
    order, (one, two) = passed(lambda order: [Scripted("a", order, {3: error}), Scripted("b", order)])
    assert order == "ab" + "ba" + "ab" + "b" + "b" + "B"
    assert (one.samples_ns, one.reason, one.failed) == ([20.0], str(error), failed)
    assert (len(two.samples_ns), two.reason, two.failed) == (5, "", False)


@pytest.mark.parametrize(("at", "kept"), [(1, False), (2, False), (3, True)])
def test_a_stop_keeps_what_was_finished_once_all_have_a_figure(at: int, kept: bool) -> None:
    _, timed = passed(lambda order: [Scripted("a", order), Scripted("b", order, {at: KeyboardInterrupt()})])
    assert settled(timed) is kept


def test_who_cannot_be_measured_is_not_waited_for_at_a_stop() -> None:
    _, timed = passed(
        lambda order: [Scripted("a", order, {3: KeyboardInterrupt()}), Scripted("b", order, {1: OSError()})]
    )
    assert timed[1].reason == "OSError"
    assert settled(timed)
    assert not settled([Scripted("c", []), *timed])
