from __future__ import annotations

from pathlib import Path

from lab.locks import find_lock
from tests.helpers import OtherProcess
from tests.locks.holder import take


def test_no_lock_lets_everybody_in_at_once(other: OtherProcess, path: Path, here: int) -> None:
    other.call(take, "none", str(path), 0, 8, True)
    acquire, release = find_lock("none").actions(here, 0, 8, write=True)
    acquire()
    release()


def test_no_lock_says_that_it_excludes_nobody() -> None:
    assert not find_lock("none").excludes
