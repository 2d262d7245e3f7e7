from __future__ import annotations

import pytest

from lab.measuring import baselines


def test_what_others_take_is_what_the_machine_took_without_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([(0.0, 100.0, 5.0), (2.0, 104.0, 8.0), (4.0, 106.0, 10.5)])
    now = (0.0, 0.0, 0.0)

    def pass_on() -> float:
        nonlocal now
        now = next(moments)
        return now[0]

    monkeypatch.setattr(baselines, "monotonic", pass_on)
    monkeypatch.setattr(baselines, "busy_s", lambda: now[1])
    monkeypatch.setattr(baselines, "own_s", lambda: now[2])
    others = baselines.Others()
    others.lap()
    others.lap()
    assert others.cores == [0.5, 0.0], "1 s in 2 s; then less than the lab itself, which a coarse clock may say"


def test_the_machine_was_at_work_at_least_as_long_as_this_process() -> None:
    assert baselines.busy_s() >= baselines.own_s() > 0


def test_the_clock_makes_a_step() -> None:
    step_ns, read_ns = baselines.clock()
    assert step_ns >= 1
    assert read_ns >= 0
