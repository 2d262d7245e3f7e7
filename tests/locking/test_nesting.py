from __future__ import annotations

import pytest

from lab.locking.kernel import Nesting


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("W w", "lock unlock"),
        ("W W w w", "lock unlock"),
        ("R W w r", "lock lock unlock"),
        ("W R r w", "lock unlock"),
        ("R R r W w r", "lock lock unlock"),
        ("W w R r", "lock unlock lock unlock"),
        ("W w R W w r", "lock unlock lock lock unlock"),
    ],
)
def test_only_the_first_locks_only_the_last_unlocks_and_a_writer_among_readers_converts(
    steps: str, expected: str
) -> None:
    calls: list[str] = []
    counted = Nesting()
    sides = {
        letter: counted.around(lambda: calls.append("lock"), lambda: calls.append("unlock"), exclusive=letter == "W")
        for letter in "RW"
    }
    for step in steps.split():
        acquire, release = sides[step.upper()]
        acquire() if step.isupper() else release()
    assert calls == expected.split()


def test_a_lock_that_was_refused_is_asked_for_again() -> None:
    calls = []

    def refused() -> None:
        calls.append("lock")
        raise OSError

    acquire, _ = Nesting().around(refused, lambda: None, exclusive=True)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - raised here
            acquire()
    assert calls == ["lock", "lock"]


def test_a_child_counts_its_own_ranges_though_the_parent_had_counted_none(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    acquire, release = Nesting().around(lambda: calls.append("lock"), lambda: calls.append("unlock"), exclusive=True)
    monkeypatch.setattr("os.getpid", lambda: -1)
    for step in (acquire, acquire, release):
        step()
    assert calls == ["lock"]
    release()
    assert calls == ["lock", "unlock"]
