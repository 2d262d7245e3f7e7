"""What the honest server keeps in mind of its owners, without any mount."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.checking.fuse.honest import Honest
from tests.checking.fuse.notes import Note, read_others
from tests.checking.fuse.pieces import Piece, without


@pytest.mark.parametrize(
    ("start", "end", "left"),
    [
        (0, 10, [(10, 20)]),
        (0, 15, [(15, 20)]),
        (12, 15, [(10, 12), (15, 20)]),
        (15, 30, [(10, 15)]),
        (20, 30, [(10, 20)]),
        (10, 20, []),
    ],
)
def test_an_unlocked_range_is_cut_out_of_a_piece(start: int, end: int, left: list[tuple[int, int]]) -> None:
    assert [piece[1:3] for piece in without([Piece(1, 10, 20, 7)], start, end)] == left


@pytest.mark.needs("libfuse")
def test_a_number_that_is_used_again_inherits_no_lock_of_the_closed_file(tmp_path: Path) -> None:
    backing = tmp_path / "backing"
    backing.mkdir()
    (backing / "file").touch()
    server = Honest(backing, seed=0)
    closed, reused, third = (SimpleNamespace(fh=-1, flags=os.O_RDWR, lock_owner=number) for number in (7, 7, 8))
    for file in (closed, reused, third):
        server.open("/file", file)
    for file, start in ((closed, 0), (reused, 10)):
        asked = SimpleNamespace(l_type=fcntl.F_WRLCK, l_whence=os.SEEK_SET, l_start=start, l_len=10, l_pid=file.fh)
        server.lock("/file", file, fcntl.F_SETLK, SimpleNamespace(contents=asked))
    server.flock("/file", closed, fcntl.LOCK_EX)
    server.release("/file", closed)
    held = server.conflict(server.owners.get(third), Piece(fcntl.F_WRLCK, 0, 100))
    assert held == Piece(fcntl.F_WRLCK, 10, 20, pid=reused.fh)
    server.flock("/file", third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    server.release("/file", reused)
    assert server.conflict(server.owners.get(third), Piece(fcntl.F_WRLCK, 0, 100)) is None


def test_a_note_is_read_by_others_and_says_what_was_written_last(tmp_path: Path) -> None:
    own, other = Note(tmp_path / "7-1"), Note(tmp_path / "7-2")
    pieces = [Piece(fcntl.F_WRLCK, 0, 10, 1, 1), Piece(fcntl.F_RDLCK, 20, 30, 1, 1)]
    own.write(pieces[:1])
    for said in (pieces, pieces[1:], []):
        other.write(said)
        assert list(read_others(own, "7-*")) == said
    assert list(read_others(own, "8-*")) == []
    other.close()
    assert not other.path.exists()


@pytest.mark.needs("libfuse")
@pytest.mark.parametrize("refusals", [0, 1, Honest.more_tries])
def test_a_request_is_granted_that_was_refused_for_a_moment(tmp_path: Path, refusals: int) -> None:
    answers = iter([False] * refusals + [True])
    Honest(tmp_path / "backing", seed=0).acquire(lambda *, waits=False: next(answers), waits=False)
    assert next(answers, None) is None


@pytest.mark.needs("libfuse")
def test_a_request_is_refused_in_the_end(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError):
        Honest(tmp_path / "backing", seed=0).acquire(lambda *, waits=False: False, waits=False)
