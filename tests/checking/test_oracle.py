"""The model's stage: what is its own, beside the kernel below it."""

from __future__ import annotations

import pytest

from lab.checking.language import parse
from lab.checking.oracle import ModelStage
from lab.checking.runner import departures

THREE = "A: open f; B: open f; C: open f; "
LAST = "last flock f exclusive wait"

PROGRAMS: dict[str, list[str]] = {
    "files are read and written": [
        "A: read f 0 4 = EBADF",
        "A: open f; A: read f 0 4 = nothing; A: write f 2 ab; A: read f 0 9 = ..ab; A: read f 3 1 = b",
        "A: open f w; A: write f 0 ab; A: read f 0 2 = EBADF",
        "A: open f r; A: write f 0 ab = EBADF",
        "A: open f; A: write f 0 abcd; A: truncate f 2; A: truncate f 3; A: read f 0 4 = ab.",
    ],
    "mappings reach to the end of the last page": [
        "A: open f r; A: map f 10 = EACCES",
        "A: open f; A: truncate f 10; A: map f 10; A: store f 8 abcd; A: read f 0 20 = ........ab",
        "A: open f; A: truncate f 4097; A: map f 4097; A: load f 4097 2 = ..; A: load f 8192 1 = SIGBUS",
        "A: open f; A: truncate f 10; A: map f 10; A: truncate f 0; A: store f 0 a = SIGBUS",
        "A: open f; A: open f as g; A: truncate f 10; A: map f 10; A: close f; A: store f 0 a; A: read g 0 1 = a",
    ],
    "nobody else sees what was stored to a private mapping": [
        """
        A: open f; A: write f 0 abcd; A: map f 4 private; A: store f 1 xy; A: load f 0 4 = axyd
        A: read f 0 9 = abcd; B: open f; B: map f 4; B: load f 0 4 = abcd
        """
    ],
    "until it stores to a page, its owner sees the file as it is": [
        """
        A: open f; A: truncate f 8192; A: map f 8192 private; A: store f 0 a
        A: write f 0 bb; A: write f 4096 bb; A: load f 0 2 = a.; A: load f 4096 2 = bb; A: load f 4094 4 = ..bb
        """
    ],
    "a descriptor for reading is enough for a private mapping": [
        "A: open f; A: write f 0 ab; A: open f as g r; A: map g 2 private; A: store g 0 x"
    ],
    "a private mapping ends where a shared one does": [
        """
        A: open f; A: truncate f 10; A: map f 8192 private; A: store f 9 ab; A: load f 9 3 = ab.
        A: load f 4096 1 = SIGBUS
        """
    ],
    "mapped anew it has nothing of its own": [
        """
        A: open f; A: write f 0 a; A: map f 1 private; A: store f 0 b; A: map f 1 private; A: load f 0 1 = a
        A: map f 1; A: store f 0 c; A: read f 0 1 = c
        """
    ],
    "limits are those of the actor and its children": [
        "A: open f; A: limit files 1; A: open g; A: open h = EMFILE; A: close g; A: open h",
        "A: open f; A: limit files 0; A: dup f as g = EMFILE; A: fork B; B: dup f as g = EMFILE",
        "A: open f; A: limit size 3; A: write f 1 abcd; A: read f 0 9 = .ab; A: write f 3 a = EFBIG",
        "A: open f; A: limit size 3; A: truncate f 3; A: truncate f 4 = EFBIG",
    ],
    "descriptors go with close and exec": [
        "A: open f cloexec; A: open f as g; A: exec; A: close g; A: close f = EBADF",
        "A: open f; A: clone B; B: close f; A: close f = EBADF",
        "A: open f; A: fork B; B: close f; A: close f",
    ],
    "one who does not wait is not said to": ["A: open f; A: waits = does not wait; A: interrupted = does not wait"],
    "a waiter whose turn has come does not wait any more": [
        "A: open f; B: open f; A: F_SETLK f write 0 1; B: F_SETLKW f write 0 1 = waits; A: F_SETLK f unlock 0 1; "
        "B: waits = granted"
    ],
    "those who end with their call go on by themselves": [
        f"{THREE} A: flock f exclusive; B: {LAST} = waits; C: {LAST} = waits; A: exit; {order}"
        for order in ("B: returns; C: returns", "C: returns; B: returns")
    ],
    "those who end with their call let the next one in": [
        f"{THREE} A: F_SETLK f write 0 1; B: F_SETLK f write 1 1; B: last F_SETLKW f write 0 1 = waits; "
        "C: F_SETLKW f write 1 1 = waits; A: exit; C: returns; B: returns"
    ],
    "one who would end with a call that is refused lives on": [
        f"{THREE} A: flock f exclusive; B: last flock f exclusive = EAGAIN; A: exit; B: last flock f exclusive; "
        "C: flock f shared"
    ],
}


def check_that_it_goes_as_it_says(program: str) -> None:
    found = next(iter(departures(parse(program), ModelStage())), None)
    assert found is None, "; ".join((*found.calls, f"expected {found.expected}"))


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_program_goes_as_it_says_where(what: str) -> None:
    for program in PROGRAMS[what]:
        check_that_it_goes_as_it_says(program)


@pytest.mark.parametrize("line", ["A: dance f", "A: thread dance f"])
def test_a_call_that_nobody_knows_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="dance"):
        check_that_it_goes_as_it_says(line)
