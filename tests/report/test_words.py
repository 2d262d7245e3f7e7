from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.report.format import duration, kib, one_in, plural, rate


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"), (373, "373 ns"), (999, "999 ns"), (1000, "1.0 us"), (27_812, "27.8 us"), (100_000, "100 us"),
        (7_100_000, "7.1 ms"), (312_000_000, "312 ms"), (1_500_000_000, "1.5 s"), (120_000_000_000, "120 s"),
    ],
)  # fmt: skip
def test_a_duration_has_its_unit_and_two_or_three_digits(ns: int, text: str) -> None:
    assert duration(ns) == text


@given(ns=st.integers(0, 10**12))
def test_a_duration_read_back_is_off_by_no_more_than_its_last_digit(ns: int) -> None:
    figure, unit = duration(ns).split()
    scale = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}[unit]
    digit = 0.1 if "." in figure else 1
    assert abs(float(figure) * scale - ns) <= 0.5 * digit * scale * 1.001


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (0, "0 %"), (1, "100 %"), (0.23, "23.0 %"), (0.0042, "0.42 %"), (1e-9, "0.01 %"), (0.99999, "99.9 %"),
        (0.01, "1.0 %"),
    ],
)  # fmt: skip
def test_a_rate_is_a_percentage(part: float, text: str) -> None:
    assert rate(part) == text


@given(part=st.floats(0, 1, exclude_min=True))
def test_a_rate_that_is_not_zero_never_reads_as_zero(part: float) -> None:
    assert float(rate(part).removesuffix(" %")) > 0


@given(part=st.floats(0, 1, exclude_max=True))
def test_a_rate_that_is_not_all_never_reads_as_all(part: float) -> None:
    assert float(rate(part).removesuffix(" %")) < 100


@pytest.mark.parametrize(
    ("power", "text"),
    [
        (None, "-"),
        (1.0, "1 in 1"),
        (0.5, "1 in 2"),
        (0.0295, "1 in 33"),
        (1 / 12_345, "1 in 12,000"),
        (1.1e-6, "1 in 900,000"),
    ],
)
def test_a_power_reads_as_one_in_so_many(power: float | None, text: str) -> None:
    assert one_in(power) == text


@given(power=st.floats(1e-12, 1))
def test_one_in_never_claims_more_than_was_measured(power: float) -> None:
    claimed = int(one_in(power).removeprefix("1 in ").replace(",", ""))
    assert 1 <= claimed <= 1 / power


@given(power=st.floats(1e-12, 1))
def test_one_in_gives_away_less_than_a_tenth_and_a_whole(power: float) -> None:
    claimed = int(one_in(power).removeprefix("1 in ").replace(",", ""))
    assert claimed > 0.9 * (1 / power - 1) - 1e-9


@given(power=st.floats(1e-12, 1))
def test_one_in_shows_two_digits_and_zeros(power: float) -> None:
    assert re.fullmatch(r"1 in \d{1,2}0*", one_in(power).replace(",", ""))


@pytest.mark.parametrize(("count", "text"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases"), (12_000, "12,000 cases")])
def test_a_count_agrees_with_its_noun(count: int, text: str) -> None:
    assert plural(count, "case") == text


@pytest.mark.parametrize(("size", "text"), [(None, "-"), (0, "0"), (2047, "1"), (3 << 20, "3,072")])
def test_bytes_read_as_kib(size: int | None, text: str) -> None:
    assert kib(size) == text
