"""What the fixture asks of the process that races."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from lab.api import session
from lab.api.protocol import Request
from lab.api.verbs import VERBS
from lab.cli.main import options_of, parser_of
from lab.errors import CannotRunError
from lab.pytest_plugin.fixture import Lab
from lab.pytest_plugin.plugin import Defaults
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

    monkeypatch.setattr(session, "ask", ask)
    made = Lab(request, Defaults(seed=5, directory=Path("/"), seconds=2.5))

    def call(verb: str, *args: Any, **kwargs: Any) -> Any:
        with pytest.raises(Asked):
            getattr(made, verb)(*args, **kwargs)
        return sent[-1]

    return call


def test_what_a_test_does_not_say_comes_from_the_options(asked: Any) -> None:
    arguments = asked("race", "counter").arguments
    assert (arguments["seed"], arguments["dir"], arguments["about_s"]) == (5, ["/"], 2.5)
    assert (arguments["trials"], arguments["seconds"]) == (None, None)
    assert asked("explore", "counter").arguments["seed"] == 5


def test_what_a_test_says_counts(asked: Any, tmp_path: Path) -> None:
    arguments = asked("race", "counter", seed=0, dir=tmp_path, seconds=0.5).arguments
    assert (arguments["seed"], arguments["dir"], arguments["seconds"]) == (0, [str(tmp_path)], 0.5)


def test_a_class_travels_by_its_place_and_an_object_with_its_state(asked: Any) -> None:
    class Inner(Mine):
        """Has no place."""

    assert asked("race", [Mine, Path("mine.py")]).scenarios == [{"place": f"{__name__}:Mine"}, {"name": "mine.py"}]
    assert [list(sent) for sent in asked("race", [Mine(), Inner]).scenarios] == [["pickle"], ["pickle"]]
    assert [list(sent) for sent in asked("race", Mine, lock=["ofd", lambda path: path]).locks] == [["name"], ["pickle"]]


def test_a_request_travels_whole(asked: Any) -> None:
    for request in (asked("race", Mine), asked("explore", Mine)):
        assert Request(**json.loads(json.dumps(request.data()))) == request


def test_an_explored_lock_may_be_an_object_where_it_is_modelled(asked: Any) -> None:
    from lab.locking.kernel import Fcntl, Ofd

    sent = asked("explore", Mine, lock=[Fcntl, Ofd(), "flock"]).locks
    assert sent == [{"name": "fcntl"}, {"name": "ofd"}, {"name": "flock"}]
    with pytest.raises(CannotRunError, match="lock test_a_class_travels"):
        asked("explore", Mine, lock=test_a_class_travels_by_its_place_and_an_object_with_its_state)


CALLS: dict[str, tuple[Any, ...]] = {
    "race": ("counter",),
    "explore": ("counter",),
    "check": ("/",),
    "replay": ("L1,x",),
    "bench": ("fcntl",),
    "locks": ("fcntl",),
}
OWN = {"scenario", "directory", "token", "seconds", "about_s", "explore", "examples", "first", "directories", "tickets"}
"""The names of what is no option of the command: its arguments, and what only the functions have."""


@pytest.mark.parametrize("verb", CALLS)
def test_an_argument_has_the_name_of_the_option(verb: str, asked: Any) -> None:
    """`names` of `lab locks` are its locks; and what is sent fits the verb, which the server calls by these names."""
    options = {name.lstrip("-").replace("-", "_") for name in options_of(parser_of(verb))}
    arguments = set(signature(getattr(Lab, verb)).parameters) - {"self"}
    assert arguments - options - OWN == ({"lock"} if verb == "locks" else set())
    assert set(asked(verb, *CALLS[verb]).arguments) - OWN <= set(signature(VERBS[verb]).parameters)
