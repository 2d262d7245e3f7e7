from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from lab.api.values import at_least, positive, probability, rare, several, temporary_directory


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("20000", 20_000), ("20_000", 20_000), (" 7 ", 7)])
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert at_least(1)(text) == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e3", "2,3", "\u0663"])
def test_what_is_no_whole_number_is_named(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"{text!r} is no whole number"):
        at_least(1)(text)


@pytest.mark.parametrize("text", ["0", "-3"])
def test_too_small_a_number_is_told_with_the_least(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"{text} is too few: at least 1"):
        at_least(1)(text)


def test_the_least_itself_is_enough() -> None:
    assert at_least(0)("0") == 0


def test_several_numbers_are_read_in_their_order() -> None:
    assert several(1)("8,2,4") == [8, 2, 4]


@pytest.mark.parametrize("text", ["", "1,", "1,,2", "1;2", "1,0"])
def test_a_list_with_a_bad_number_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        several(1)(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0.0), ("1", 1.0), ("1e-5", 0.00001), ("0.01", 0.01)])
def test_a_probability_is_read(text: str, number: float) -> None:
    assert probability(text) == number


@pytest.mark.parametrize("text", ["-0.1", "1.01", "nan", "inf"])
def test_what_is_no_probability_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no probability: from 0 to 1"):
        probability(text)


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1/1000", "1/1e3", "0.1/100"])
def test_a_rate_is_read_as_a_number_or_as_a_share(text: str) -> None:
    assert rare(text) == pytest.approx(0.001)


@pytest.mark.parametrize("text", ["0", "1", "1.5", "-1", "nan", "inf", "1/0", "1/-5", "1/1", "0/0", "1e-320", "1/inf"])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"{text} is no rate: from 1e-09, below 1, as in 1e-3 or 1/1000"):
        rare(text)


@pytest.mark.parametrize("text", ["", "x", "1/", "/1000", "1/1000/2"])
def test_what_is_no_number_is_no_rate(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no number"):
        rare(text)


@pytest.mark.parametrize(("text", "seconds"), [("0.5", 0.5), ("30", 30.0)])
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert positive(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e6"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no time: above 0 seconds"):
        positive(text)


@pytest.mark.parametrize("read", [probability, positive])
def test_a_word_is_no_number(read: type) -> None:
    with pytest.raises(ArgumentTypeError, match="'much' is no number"):
        read("much")


def test_the_temporary_directory_is_the_users_or_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    assert temporary_directory() == Path("/elsewhere")
    monkeypatch.setenv("TMPDIR", "")
    assert temporary_directory() == Path("/tmp")  # noqa: S108 - a name, nothing is made there
    monkeypatch.delenv("TMPDIR")
    assert temporary_directory() == Path("/tmp")  # noqa: S108
