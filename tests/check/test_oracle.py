"""The model's stage: what is its own, beside the kernel below it."""

from __future__ import annotations

import pytest

from lab.check.language import parse
from lab.check.oracle import ModelStage
from lab.check.runner import departures


def goes_as_it_says(program: str) -> bool:
    found = next(iter(departures(parse(program), ModelStage())), None)
    assert found is None, "; ".join((*found.calls, f"expected {found.expected}"))
    return True


@pytest.mark.parametrize(
    "program",
    [
        "A: read f 0 4 = EBADF",
        "A: open f; A: read f 0 4 = nothing; A: write f 2 ab; A: read f 0 9 = ..ab; A: read f 3 1 = b",
        "A: open f w; A: write f 0 ab; A: read f 0 2 = EBADF",
        "A: open f r; A: write f 0 ab = EBADF",
        "A: open f; A: write f 0 abcd; A: truncate f 2; A: truncate f 3; A: read f 0 4 = ab.",
    ],
)
def test_files_are_read_and_written(program: str) -> None:
    assert goes_as_it_says(program)


@pytest.mark.parametrize(
    "program",
    [
        "A: open f r; A: map f 10 = EACCES",
        "A: open f; A: truncate f 10; A: map f 10; A: store f 8 abcd; A: read f 0 20 = ........ab",
        "A: open f; A: truncate f 4097; A: map f 4097; A: load f 4097 2 = ..; A: load f 8192 1 = SIGBUS",
        "A: open f; A: truncate f 10; A: map f 10; A: truncate f 0; A: store f 0 a = SIGBUS",
        "A: open f; A: open f as g; A: truncate f 10; A: map f 10; A: close f; A: store f 0 a; A: read g 0 1 = a",
    ],
)
def test_mappings_reach_to_the_end_of_the_last_page(program: str) -> None:
    assert goes_as_it_says(program)


PRIVATE = {
    "nobody else sees what it stored": """
        A: open f; A: write f 0 abcd; A: map f 4 private; A: store f 1 xy; A: load f 0 4 = axyd
        A: read f 0 9 = abcd; B: open f; B: map f 4; B: load f 0 4 = abcd
    """,
    "until it stores to a page it sees the file as it is": """
        A: open f; A: truncate f 8192; A: map f 8192 private; A: store f 0 a
        A: write f 0 bb; A: write f 4096 bb; A: load f 0 2 = a.; A: load f 4096 2 = bb; A: load f 4094 4 = ..bb
    """,
    "a descriptor for reading is enough": """
        A: open f; A: write f 0 ab; A: open f as g r; A: map g 2 private; A: store g 0 x
    """,
    "it ends where a shared one does": """
        A: open f; A: truncate f 10; A: map f 8192 private; A: store f 9 ab; A: load f 9 3 = ab.
        A: load f 4096 1 = SIGBUS
    """,
    "mapped anew it has nothing of its own": """
        A: open f; A: write f 0 a; A: map f 1 private; A: store f 0 b; A: map f 1 private; A: load f 0 1 = a
        A: map f 1; A: store f 0 c; A: read f 0 1 = c
    """,
}


@pytest.mark.parametrize("what", PRIVATE)
def test_a_private_mapping_copies_a_page_when_it_stores_to_it(what: str) -> None:
    assert goes_as_it_says(PRIVATE[what])


@pytest.mark.parametrize(
    "program",
    [
        "A: open f; A: limit files 1; A: open g; A: open h = EMFILE; A: close g; A: open h",
        "A: open f; A: limit files 0; A: dup f as g = EMFILE; A: fork B; B: dup f as g = EMFILE",
        "A: open f; A: limit size 3; A: write f 1 abcd; A: read f 0 9 = .ab; A: write f 3 a = EFBIG",
        "A: open f; A: limit size 3; A: truncate f 3; A: truncate f 4 = EFBIG",
    ],
)
def test_limits_are_those_of_the_actor_and_its_children(program: str) -> None:
    assert goes_as_it_says(program)


@pytest.mark.parametrize(
    "program",
    [
        "A: open f cloexec; A: open f as g; A: exec; A: close g; A: close f = EBADF",
        "A: open f; A: clone B; B: close f; A: close f = EBADF",
        "A: open f; A: fork B; B: close f; A: close f",
    ],
)
def test_descriptors_go_with_close_and_exec(program: str) -> None:
    assert goes_as_it_says(program)


def test_who_does_not_wait_is_not_said_to() -> None:
    assert goes_as_it_says("A: open f; A: waits = does not wait; A: interrupted = does not wait")


def test_a_waiter_whose_turn_has_come_does_not_wait_any_more() -> None:
    assert goes_as_it_says(
        "A: open f; B: open f; A: F_SETLK f write 0 1; B: F_SETLKW f write 0 1 = waits; "
        "A: F_SETLK f unlock 0 1; B: waits = granted"
    )


WAITING = "A: open f; B: open f; C: open f; A: flock f exclusive; "
LAST = "last flock f exclusive wait"


@pytest.mark.parametrize(("first", "second"), ["BC", "CB"])
def test_those_who_end_with_their_call_go_on_by_themselves(first: str, second: str) -> None:
    assert goes_as_it_says(
        f"{WAITING} B: {LAST} = waits; C: {LAST} = waits; A: exit; {first}: returns; {second}: returns"
    )


def test_those_who_end_with_their_call_let_the_next_one_in() -> None:
    assert goes_as_it_says(
        "A: open f; B: open f; C: open f; A: F_SETLK f write 0 1; B: F_SETLK f write 1 1; "
        "B: last F_SETLKW f write 0 1 = waits; C: F_SETLKW f write 1 1 = waits; A: exit; C: returns; B: returns"
    )


def test_one_who_would_end_with_a_call_that_is_refused_lives_on() -> None:
    assert goes_as_it_says(
        f"{WAITING} B: last flock f exclusive = EAGAIN; A: exit; B: last flock f exclusive; C: flock f shared"
    )


@pytest.mark.parametrize("line", ["A: dance f", "A: thread dance f"])
def test_a_call_that_nobody_knows_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="dance"):
        goes_as_it_says(line)
