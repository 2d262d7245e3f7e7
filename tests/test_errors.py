from __future__ import annotations

import pickle

import pytest

from lab.errors import LAB, CannotRunError, ExitCode, LabError, ScenarioError, UsageError, refusal, unknown
from lab.locking import LockFailed


def test_every_kind_of_error_ends_with_its_documented_exit_code() -> None:
    own = {kind: kind.exit_code for kind in LabError.__subclasses__() if kind.__module__ == LabError.__module__}
    assert own == {UsageError: 2, CannotRunError: 3, ScenarioError: 4}
    assert {kind.exit_code for kind in LabError.__subclasses__()} == {2, 3, 4}


def test_the_exit_codes_and_their_precedence() -> None:
    assert [int(code) for code in ExitCode] == [130, 141, 70, 1, 4, 2, 3, 0]
    assert ExitCode.first(3, 0, 1, 4) is ExitCode.DAMAGE
    assert ExitCode.first(ExitCode.DAMAGE, 130) is ExitCode.INTERRUPTED
    assert ExitCode.first(ExitCode.UNABLE, ExitCode.FAILED) is ExitCode.FAILED
    assert ExitCode.first() is ExitCode.AS_EXPECTED


def test_the_exit_codes_are_explained_in_the_order_of_their_numbers() -> None:
    lines = ExitCode.explained().splitlines()
    assert [int(line.split()[0]) for line in lines] == [0, 1, 2, 3, 4, 70, 130, 141]
    assert lines[4] == "  4   a worker died or hung"


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


@pytest.mark.parametrize(
    ("filename", "code", "said"),
    [
        (f"{LAB}racing/any.py", "import os; os.close(-1)", "a system call was refused: Bad file descriptor (EBADF)"),
        (f"{LAB}racing/any.py", "open('/nix')", "a system call was refused: /nix: No such file or directory (ENOENT)"),
        (
            f"{LAB}any.py",
            "from pathlib import Path; Path('/nix').stat()",
            "a system call was refused: /nix: No such file",
        ),
        ("/mine.py", "from pathlib import Path; Path('/nix').stat()", ""),
        ("/mine.py", "import os; os.close(-1)", ""),
        (f"{LAB}scenarios/any.py", "import os; os.close(-1)", ""),
        (
            "/mine.py",
            "raise OSError(37, 'No locks available', 'F_SETLK')",
            "F_SETLK refused: No locks available (ENOLCK)",
        ),
        (f"{LAB}any.py", "raise OSError(35, 'Resource deadlock avoided')", ""),
        (f"{LAB}any.py", "raise ValueError", ""),
    ],
)
def test_what_the_system_refuses_to_the_lab_is_told_from_what_the_users_code_raises(
    filename: str, code: str, said: str
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is
        exec(compile(code, filename, "exec"))  # noqa: S102 - the file's name is the point
    assert refusal(raised.value).startswith(said)
    assert bool(refusal(raised.value)) == bool(said)
