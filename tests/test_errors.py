from __future__ import annotations

import pickle

import pytest

from lab.errors import CannotRunError, LabError, ScenarioError, UsageError, unknown
from lab.locks import LockFailed


def test_every_kind_of_error_ends_with_its_documented_exit_code() -> None:
    own = {kind: kind.exit_code for kind in LabError.__subclasses__() if kind.__module__ == LabError.__module__}
    assert own == {UsageError: 2, CannotRunError: 3, ScenarioError: 4}
    assert {kind.exit_code for kind in LabError.__subclasses__()} == {2, 3, 4}


@pytest.mark.parametrize("kind", [UsageError, CannotRunError, ScenarioError, LockFailed])
def test_an_error_survives_pickling(kind: type[LabError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what; next step")))  # noqa: S301 - our own
    assert (type(again), str(again)) == (kind, "what; next step")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("contour", "unknown scenario 'contour'; did you mean counter?"),
        ("xyz", "unknown scenario 'xyz'; known: bank, counter"),
        ("", "unknown scenario ''; known: bank, counter"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_all(name: str, said: str) -> None:
    assert str(unknown("scenario", name, ["bank", "counter"])) == said
