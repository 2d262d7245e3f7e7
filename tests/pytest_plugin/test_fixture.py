"""What the fixture asks of the process that races."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.errors import CannotRunError
from lab.pytest_plugin import fixture
from lab.pytest_plugin.fixture import Lab
from lab.pytest_plugin.plugin import Defaults
from lab.pytest_plugin.protocol import ExploreRequest, RaceRequest, read, request_data
from lab.scenario import Scenario


class Mine(Scenario):
    """Only sent, never raced."""


class Asked(BaseException):
    """Stands for the answer, which is of no interest."""


@pytest.fixture
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls a method of the fixture and gives what it would have sent."""
    sent: list[Any] = []

    def ask(question: Any, *rest: object) -> None:
        sent.append(question)
        raise Asked

    monkeypatch.setattr(fixture, "ask", ask)
    made = Lab(request, Defaults(seed=5, directory=Path("/"), seconds=2.5))

    def call(verb: str, *args: Any, **kwargs: Any) -> Any:
        with pytest.raises(Asked):
            getattr(made, verb)(*args, **kwargs)
        return sent[-1]

    return call


def test_what_a_test_does_not_say_comes_from_the_options(asked: Any) -> None:
    request = asked("race", "counter")
    assert (request.seed, request.directory, request.about_s) == (5, "/", 2.5)
    assert (request.trials, request.seconds) == (None, None)
    assert asked("explore", "counter").seed == 5


def test_what_a_test_says_counts(asked: Any, tmp_path: Path) -> None:
    request = asked("race", "counter", seed=0, dir=tmp_path, seconds=0.5)
    assert (request.seed, request.directory, request.seconds) == (0, str(tmp_path), 0.5)


def test_a_class_travels_by_its_place_and_an_object_with_its_state(asked: Any) -> None:
    assert asked("race", Mine).scenario == {"place": f"{__name__}:Mine"}
    assert list(asked("race", Mine()).scenario) == ["pickle"]
    assert asked("race", Path("mine.py")).scenario == {"name": "mine.py"}


def test_a_request_travels_whole(asked: Any) -> None:
    for request, kind in ((asked("race", Mine), RaceRequest), (asked("explore", Mine), ExploreRequest)):
        assert isinstance(request, kind)
        assert read(request_data(request)) == request


def test_an_explored_lock_may_be_an_object_where_it_is_modelled(asked: Any) -> None:
    from lab.locking.kernel import Fcntl, Ofd

    assert [asked("explore", Mine, lock=lock).lock for lock in (Fcntl, Ofd(), "flock")] == ["fcntl", "ofd", "flock"]
    with pytest.raises(CannotRunError, match="lock test_a_class_travels"):
        asked("explore", Mine, lock=test_a_class_travels_by_its_place_and_an_object_with_its_state)
