"""What a type checker knows of a user's code: mypy reads this with all tests, and nothing runs it."""

from __future__ import annotations

from typing import Any, assert_type

import lab
from lab.records import Case, Check, ExploredCase, Replay


class Held:
    """A lock that is made from the path of a lock file."""

    def __init__(self, path: str) -> None:
        self.path = path


def uses(token: str) -> None:
    """Call the functions as a user does."""
    race = lab.race(["counter", "bank"], lock=["fcntl", lab.adapt(Held)], workers=[2])
    race.assert_clean(detects=1e-2)
    assert_type(race.cases, list[Case])
    assert_type(lab.explore("counter", rounds=2).case, ExploredCase)
    assert_type(lab.check(".").record, Check)
    assert_type(lab.replay(token).run, Replay)
    assert_type(lab.bench("fcntl", held=[0, 10]).to_dict(), dict[str, Any])
    assert_type(lab.__version__, str)
    lab.race("counter", wrkers=2)  # type: ignore[call-arg]
    lab.locks(seconds="soon")  # type: ignore[arg-type]
