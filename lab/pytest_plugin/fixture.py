"""Provide the fixture `lab`: the functions of `lab`, with what a test adds: notes, skips, the line that repeats it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from lab.api.manner import property_of
from lab.api.protocol import is_about_the_test
from lab.api.results import ExploreResult, RaceResult, Result
from lab.api.session import Session
from lab.records import Case

if TYPE_CHECKING:
    from .plugin import Defaults

__tracebackhide__ = is_about_the_test

CLAIMS: dict[type[Result[Any]], tuple[str, ...]] = {
    RaceResult: (".assert_clean()", ".assert_damaged()"),
    ExploreResult: (".assert_exhausted()", ".assert_broken()"),
}
"""The calls that the message recommends to a test that never looked at a result."""

Returned = TypeVar("Returned")


class Lab(Session):
    """The fixture of one test, which races and explores in a fresh interpreter each time."""

    def __init__(self, request: pytest.FixtureRequest, defaults: Defaults) -> None:
        super().__init__(seed=defaults.seed, directory=defaults.directory, seconds=defaults.seconds)
        self._node = request.node
        self._test = _from_here(request)
        self._root = request.config.rootpath
        self._keeps = defaults.examples
        self._results: list[Result[Any]] = []

    def check_looked_at(self) -> None:
        """Fail, for a test that has passed, where it never looked at the result of a race or an exploration."""
        unseen = [result for result in self._results if not result.looked_at]
        if unseen:
            claims = " or ".join(dict.fromkeys(claim for result in unseen for claim in CLAIMS[type(result)]))
            results = "; ".join(map(repr, unseen))
            pytest.fail(f"{results}: the test passed and never looked at the result; add {claims}", pytrace=False)

    def _unable(self, reason: str) -> NoReturn:
        pytest.skip(reason)

    def _returned(self, result: Returned) -> Returned:
        """Note what a race or an exploration found, for the JUnit file: pytest writes what a test notes."""
        if isinstance(result, Result):
            for case in result.record.cases:
                self._note(case)
            result.looked_at = False
            self._results.append(result)
        return result

    def _note(self, case: Any) -> None:
        notes: dict[str, object] = {"verdict": case.verdict}
        if isinstance(case, Case):
            notes |= {"detection_limit": case.detection_limit, "contended_requests": case.contended_requests}
            notes |= {property_of(case.manner): True} if case.manner else {}
        else:
            notes["schedules"] = case.schedules
        for name, value in notes.items():
            self._node.user_properties.append((f"lab {case.scenario} under {case.lock}: {name}", value))


def _from_here(request: pytest.FixtureRequest) -> str:
    """Return the test's name as seen from the directory where pytest was started.

    A nodeid begins at the root of the project.
    """
    file = os.path.relpath(request.node.path, request.config.invocation_params.dir)
    return "::".join([file, *str(request.node.nodeid).split("::")[1:]])
