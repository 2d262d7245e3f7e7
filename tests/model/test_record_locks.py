from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.holds import END, Span
from lab.model.record_locks import Record, RecordLocks
from tests.helpers import OtherProcess
from tests.model.calls import GET_OFD, KINDS, SET_OFD, Call, by_the_kernel, over_there

A, B, C = "ABC"
NEAR = 12
"""Requests start and end below this byte or run to infinity: the byte itself stands for all that follow."""
CALLS = 300


@st.composite
def near_call(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(sorted(KINDS)))
    command = "set" if kind == "unlock" else draw(st.sampled_from(["set", "set", "get"]))
    start = draw(st.integers(0, NEAR - 1))
    return draw(st.sampled_from("ABC")), command, kind, start, draw(st.integers(0, NEAR - start))


class Naive:
    """What each owner holds on each byte, and nothing else."""

    def __init__(self) -> None:
        self.held: dict[str, dict[int, bool]] = {owner: {} for owner in "ABC"}

    def conflicts(self, owner: str, span: Span) -> set[str]:
        return {
            other
            for other, held in self.held.items()
            if other != owner and any(byte in held and (span.write or held[byte]) for byte in bytes_of(span))
        }

    def records(self) -> list[Record]:
        return sorted(Record(owner, *run) for owner, held in self.held.items() for run in runs(held))


def bytes_of(span: Span) -> range:
    return range(span.start, span.end if span.length else NEAR + 1)


def runs(held: dict[int, bool]) -> list[tuple[int, int, bool]]:
    """The longest ranges of neighbouring bytes of one type."""
    found: list[tuple[int, int, bool]] = []
    for byte in sorted(held):
        end = END if byte == NEAR else byte + 1
        if found and found[-1][1:] == (byte, held[byte]):
            found[-1] = (found[-1][0], end, held[byte])
        else:
            found.append((byte, end, held[byte]))
    return found


def table(*grants: tuple[str, int, int, bool]) -> RecordLocks:
    locks = RecordLocks()
    for owner, start, length, write in grants:
        locks.grant(owner, Span(start, length, write))
    return locks


def ranges(locks: RecordLocks, owner: str = A) -> list[tuple[int, int, str]]:
    return [(record.start, record.end, "w" if record.write else "r") for record in locks.of(owner)]


def test_a_grant_is_a_record_which_tells_its_range_as_fcntl_does_and_length_0_runs_to_infinity() -> None:
    locks = table((A, 3, 4, True), (A, 9, 0, False))
    assert locks.records() == [Record(A, 3, 7, True), Record(A, 9, END, False)]
    assert [record.span for record in locks.records()] == [Span(3, 4, write=True), Span(9, 0, write=False)]
    assert locks.conflict(B, Span(END - 1, 1, write=True)) == Record(A, 9, END, False)


@pytest.mark.parametrize(("held", "asked", "granted"), [("r", "r", 1), ("r", "w", 0), ("w", "r", 0), ("w", "w", 0)])
def test_only_readers_share_a_byte(held: str, asked: str, granted: int) -> None:
    locks = table((A, 0, 4, held == "w"))
    assert (locks.conflict(B, Span(3, 4, write=asked == "w")) is None) == granted


def test_ranges_that_touch_do_not_conflict() -> None:
    locks = table((A, 4, 4, True))
    assert locks.conflict(B, Span(0, 4, write=True)) is None
    assert locks.conflict(B, Span(8, 0, write=True)) is None


def test_an_owner_does_not_conflict_with_itself() -> None:
    assert table((A, 0, 4, True)).conflict(A, Span(0, 4, write=True)) is None


def test_the_conflict_is_the_first_of_the_owner_that_came_first() -> None:
    locks = table((A, 6, 1, True), (B, 0, 1, True), (A, 4, 1, True))
    assert locks.conflict(C, Span(0, 0, write=True)) == Record(A, 4, 5, True)


def test_an_owner_comes_anew_where_it_had_nothing_left_and_not_by_a_change_of_type() -> None:
    locks = table((A, 6, 1, False), (B, 8, 1, True), (A, 6, 1, True))
    assert locks.conflict(C, Span(0, 0, write=True)) == Record(A, 6, 7, True)
    locks.release(A, 0, 0)
    locks.grant(A, Span(6, 1, write=True))
    assert locks.conflict(C, Span(0, 0, write=True)) == Record(B, 8, 9, True)


@pytest.mark.parametrize(
    ("start", "length", "left"),
    [
        (0, 4, [(4, 8)]),
        (0, 6, [(6, 8)]),
        (5, 2, [(4, 5), (7, 8)]),
        (7, 3, [(4, 7)]),
        (7, 1, [(4, 7)]),
        (6, 0, [(4, 6)]),
        (8, 2, [(4, 8)]),
        (2, 9, []),
    ],
    ids=["up to it", "over its front", "inside", "over its end", "last byte", "to infinity", "past it", "around"],
)
@pytest.mark.parametrize("write", [True, False])
def test_an_unlock_takes_what_it_covers(start: int, length: int, left: list[tuple[int, int]], write: bool) -> None:
    locks = table((A, 4, 4, write))
    locks.release(A, start, length)
    assert [(record.start, record.end) for record in locks.of(A)] == left


def test_unlocking_what_was_never_locked_changes_nothing() -> None:
    locks = table((A, 0, 4, True))
    key = locks.key()
    locks.release(B, 0, 0)
    locks.release(A, 4, 0)
    assert locks.key() == key


@pytest.mark.parametrize(
    ("grants", "left"),
    [
        ([(0, 9, "w"), (3, 3, "r")], [(0, 3, "w"), (3, 6, "r"), (6, 9, "w")]),
        ([(0, 9, "w"), (3, 3, "r"), (3, 3, "w")], [(0, 9, "w")]),
        ([(0, 3, "w"), (6, 3, "w"), (3, 3, "w")], [(0, 9, "w")]),
        ([(0, 3, "w"), (3, 3, "r")], [(0, 3, "w"), (3, 6, "r")]),
        ([(2, 4, "w"), (2, 4, "w")], [(2, 6, "w")]),
        ([(2, 4, "w"), (0, 0, "w")], [(0, END, "w")]),
        ([(2, 4, "w"), (3, 1, "w")], [(2, 6, "w")]),
    ],
    ids=["changed in the middle", "changed back", "filled", "two types", "again", "around", "inside"],
)
def test_neighbours_of_one_type_are_one_record(
    grants: list[tuple[int, int, str]], left: list[tuple[int, int, str]]
) -> None:
    assert ranges(table(*((A, start, length, kind == "w") for start, length, kind in grants))) == left


def test_many_small_locks_are_all_held() -> None:
    with_gaps = table(*((A, 2 * n, 1, True) for n in reversed(range(128))))
    assert ranges(with_gaps) == [(2 * n, 2 * n + 1, "w") for n in range(128)]
    assert ranges(table(*((A, n, 1, True) for n in range(128)))) == [(0, 128, "w")]


@pytest.mark.parametrize("free", [lambda locks: locks.release(A, 0, 0), lambda locks: locks.drop(A)])
def test_an_unlock_or_a_drop_leaves_other_owners_alone(free: Callable[[RecordLocks], None]) -> None:
    locks = table((A, 0, 4, False), (B, 0, 4, False), (A, 9, 0, True))
    free(locks)
    locks.drop(C)
    assert locks.records() == [Record(B, 0, 4, False)]


def test_records_come_by_start_and_then_by_arrival() -> None:
    assert [r.owner for r in table((B, 5, 1, False), (A, 5, 1, False), (C, 0, 1, True)).records()] == [C, B, A]


def test_equal_tables_have_equal_keys_however_they_came_about() -> None:
    detour = table((A, 0, 9, True), (A, 3, 3, False))
    detour.release(A, 3, 3)
    direct = table((A, 6, 3, True), (A, 0, 3, True))
    assert detour.key() == direct.key()
    assert hash(detour.key()) == hash(direct.key())
    assert detour.key() != table((A, 0, 9, True)).key()


def test_the_order_of_owners_is_in_the_key_unless_it_is_left_out() -> None:
    one, other = table((A, 0, 1, False), (B, 0, 1, False)), table((B, 0, 1, False), (A, 0, 1, False))
    assert one.key() != other.key()
    assert one.key(arrival=False) == other.key(arrival=False)


def test_a_cleared_table_is_a_new_one() -> None:
    locks = table((A, 0, 4, True))
    locks.clear()
    assert (locks.records(), locks.key()) == ([], RecordLocks().key())


@given(st.lists(near_call(), max_size=30))
def test_the_table_is_what_single_bytes_would_be(calls: list[Call]) -> None:
    locks, naive = RecordLocks(), Naive()
    for owner, command, kind, start, length in calls:
        span = Span(start, length, kind == "write")
        if kind == "unlock":
            locks.release(owner, start, length)
            for byte in bytes_of(span):
                naive.held[owner].pop(byte, None)
        else:
            found = locks.conflict(owner, span)
            assert (found.owner in naive.conflicts(owner, span)) if found else not naive.conflicts(owner, span)
            if command == "set" and not found:
                locks.grant(owner, span)
                naive.held[owner].update(dict.fromkeys(bytes_of(span), span.write))
        assert sorted(locks.records()) == naive.records()


def modelled(locks: RecordLocks, call: Call, pids: dict[str, int]) -> list[int]:
    """The errno of the call, and for a get what it reports, by the model."""
    owner, command, kind, start, length = call
    if kind == "unlock":
        locks.release(owner, start, length)
        return [0]
    record = locks.conflict(owner, Span(start, length, kind == "write"))
    if command == "get" and record:
        return [0, KINDS["write" if record.write else "read"], *record.span[:2], pids[str(record.owner)]]
    if command == "get":
        return [0, fcntl.F_UNLCK, start, length, 0]
    if record is None:
        locks.grant(owner, Span(start, length, kind == "write"))
    return [errno.EAGAIN if record else 0]


def random_call(random: Random) -> Call:
    kind = random.choice(["read", "read", "write", "unlock", "unlock"])
    command = "set" if kind == "unlock" or random.random() < 0.7 else "get"
    return random.choice("ABC"), command, kind, random.randrange(NEAR), random.choice([1, 1, 2, 2, 3, 5, 0])


def hold_against_the_kernel(real: Callable[[Call], list[object]], pids: dict[str, int], seed: int) -> None:
    """Random calls on one small range; each answer, and what the caller then holds, compared."""
    random, locks, answers = Random(seed), RecordLocks(), set()
    for _ in range(CALLS):
        call = random_call(random)
        answer = modelled(locks, call, pids)
        assert real(call) == [answer, [list(record[1:]) for record in locks.of(call[0])]], call
        answers.add((call[1], answer[0], len(answer) > 1 and answer[1]))
    assert len(answers) == 5  # set: granted and refused; get: free, a reader's, a writer's


@pytest.mark.parametrize("seed", [1, 2])
def test_the_table_answers_as_the_kernel_does_for_posix_locks(
    seed: int, others: list[OtherProcess], tmp_path: Path
) -> None:
    path = tmp_path / "shared"
    path.touch()
    owners = dict(zip("ABC", others, strict=True))
    pids = {owner: other.pid for owner, other in owners.items()}
    hold_against_the_kernel(lambda call: owners[call[0]].call(over_there, str(path), call), pids, seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_table_answers_as_the_kernel_does_for_open_file_description_locks(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.touch()
    with ExitStack() as stack:
        numbers = {owner: stack.enter_context(path.open("r+b")).fileno() for owner in "ABC"}
        hold_against_the_kernel(
            lambda call: by_the_kernel(numbers[call[0]], SET_OFD, GET_OFD, call), dict.fromkeys("ABC", -1), seed
        )
