"""docs/pytest.md: every block of it runs."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable

import pytest

from lab.pytest_plugin.fixture import Lab
from tests.helpers import ROOT
from tests.pytest_plugin.writing import outcomes_of

pytest_plugins = ["pytester"]

TEXT = (ROOT / "docs" / "pytest.md").read_text()


def blocks(kind: str) -> list[str]:
    """The blocks of the page in this language."""
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)


SECONDS_DECIDE = re.compile(r"detects=1e-\d")
"""How strong a claim a second allows depends on the machine; that it is made and checked does not."""


def test_every_block_runs(pytester: pytest.Pytester) -> None:
    counter, tickets = (SECONDS_DECIDE.sub("detects=0.1", block) for block in blocks("python"))
    (settings,) = blocks("toml")
    (commands,) = blocks("console")
    assert TEXT.count("```") == 2 * len([counter, tickets, settings, commands])
    pytester.makepyfile(test_counter=counter, test_tickets=tickets, test_other="def test_other():\n    pass")
    pytester.makepyprojecttoml(settings)
    expected = [{"passed": 4, "deselected": 1}, {"passed": 1, "deselected": 4}, {"passed": 5}]
    for command, outcomes in zip(commands.splitlines(), expected, strict=True):
        python, module, name, *args = shlex.split(command)
        assert (python, module, name) == ("python", "-m", "pytest")
        outcomes_of(pytester.runpytest_subprocess(*args), **outcomes)


def test_the_start_takes_five_lines() -> None:
    assert len(list(filter(None, blocks("python")[0].splitlines()))) <= 5


@pytest.mark.parametrize("verb", [Lab.race, Lab.explore])
def test_every_argument_is_told(verb: Callable[..., object]) -> None:
    arguments = inspect.signature(verb).parameters
    assert [name for name in arguments if not re.search(rf"`{name}(=[^`]*)?`", TEXT)] == ["self"]
