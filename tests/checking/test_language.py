from __future__ import annotations

import errno

import pytest

from lab.checking.language import MAX, STILL, SUCCESS, Call, Range, Step, errno_name, number, parse, range_of, shown


def the_only(line: str) -> Step:
    [step] = parse(line)
    return step


def test_a_line_is_an_actor_a_call_and_what_it_comes_to() -> None:
    step = the_only("B: F_SETLK f write 10 20 = EAGAIN | EACCES")
    assert step == (Call("B", "F_SETLK", ("f", "write", "10", "20")), ("EAGAIN", "EACCES"))


def test_a_call_of_which_nothing_is_said_has_to_succeed() -> None:
    assert the_only("A: open f").expected == SUCCESS


def test_a_waiter_of_whom_nothing_is_said_has_to_wait_still() -> None:
    assert the_only("B: waits").expected == STILL


def test_empty_lines_and_remarks_do_not_count() -> None:
    assert [str(step) for step in parse("\n A: open f  # made here\n\n# that is all\n B: open f\n")] == [
        "A: open f",
        "B: open f",
    ]


@pytest.mark.parametrize(
    "line",
    ["A: F_SETLKW f write 0 1 = waits", "B: interrupted = EINTR", "A: F_GETLK f read 0 1 = write 0 10 by B", "A: exit"],
)
def test_a_step_is_told_as_it_was_written(line: str) -> None:
    assert str(the_only(line)) == line


@pytest.mark.parametrize("line", ["open f", "A open f", "A:", "A B: open f", "A: "])
def test_what_is_no_call_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no call"):
        parse(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A: open f", "success"),
        ("A: F_SETLK f write 0 1 = EAGAIN | EACCES", "EAGAIN or EACCES"),
        ("A: F_SETLKW f write 0 1 = EDEADLK | (waits)", "EDEADLK"),
    ],
)
def test_what_is_wanted_leaves_out_what_is_only_not_supported(line: str, words: str) -> None:
    assert the_only(line).wanted == words


@pytest.mark.parametrize(
    ("line", "may_wait"),
    [
        ("A: F_SETLKW f write 0 1", True),
        ("A: F_OFD_SETLKW f write 0 1", True),
        ("A: flock f shared wait", True),
        ("A: last F_SETLKW f write 0 1", True),
        ("A: last flock f shared wait", True),
        ("A: F_SETLK f write 0 1", False),
        ("A: flock f shared", False),
        ("A: last F_SETLK f write 0 1", False),
        ("A: thread F_SETLKW f write 0 1", False),
        ("A: exec", False),
    ],
)
def test_the_calls_that_may_wait(line: str, may_wait: bool) -> None:
    assert the_only(line).call.may_wait is may_wait


@pytest.mark.parametrize("how", ["thread ", "last ", ""])
def test_the_call_itself_is_the_same_however_it_is_made(how: str) -> None:
    assert the_only(f"A: {how}F_SETLK f write 0 1").call.made == Call("A", "F_SETLK", ("f", "write", "0", "1"))


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("read 10 20", Range(0, 10, 20)),
        ("write -1 2 end pid=5", Range(1, -1, 2, 2, 5)),
        ("unlock max 0 pid=5 cur", Range(2, MAX, 0, 1, 5)),
        ("9 0 max-1 7", Range(9, 0, MAX - 1, 7)),
    ],
)
def test_a_range_is_read_as_struct_flock_has_it(words: str, asked: Range) -> None:
    assert range_of(tuple(words.split())) == asked


def test_numbers_count_back_from_the_last_byte() -> None:
    assert [number("0"), number("-5"), number("max"), number("max-2")] == [0, -5, MAX, MAX - 2]


def test_an_errno_has_the_name_that_manuals_give_it() -> None:
    codes = (errno.EAGAIN, errno.EDEADLK, errno.EOPNOTSUPP, 4095)
    assert [*map(errno_name, codes)] == ["EAGAIN", "EDEADLK", "EOPNOTSUPP", "errno 4095"]


def test_bytes_are_one_word() -> None:
    assert [shown(b"ab\0c"), shown(b"")] == ["ab.c", "nothing"]
