"""The command line, run again and again in one other process: most of a command is its start.

A test module takes part by importing the fixture `other_process`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from tests.helpers import OtherProcess


def each_ended(commands: dict[str, list[str]]) -> dict[str, tuple[int, str, str]]:
    """What these commands end with and print, one after the other in this process."""
    from lab.cli.main import main

    ended = {}
    for name, command in commands.items():
        printed, told = StringIO(), StringIO()
        with redirect_stdout(printed), redirect_stderr(told):
            try:
                code = main(command)
            except SystemExit as stop:
                code = int(stop.code or 0)
        ended[name] = code, printed.getvalue(), told.getvalue()
    return ended


OTHER: list[OtherProcess] = []


@pytest.fixture(scope="module", autouse=True)
def other_process() -> Iterator[None]:
    """An interpreter that runs the command line again and again: most of a command is its start."""
    with OtherProcess() as other:
        OTHER.append(other)
        yield
        OTHER.pop()


def ended(*command: str | Path) -> tuple[int, str, str]:
    """What a command line ends with and prints, in the other process."""
    code, printed, told = OTHER[0].call(each_ended, {"": [*map(str, command)]})[""]
    return code, printed, told
