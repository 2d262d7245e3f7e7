"""The two calls of a fault are made in both orders; the one that loses an update is named, and what cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lab.records import WatchOptions
from lab.report.text.watch import complaints, exit_code, full_text_of
from lab.watching import replay
from lab.watching.run import watch
from tests.helpers import OtherProcess, run_lab

pytestmark = [pytest.mark.needs("compiled")]

ADDS = """
import fcntl, os, sys, time
how, path, worker, *named = sys.argv[1:]
told = [*named, path + ".told"][0]
file = os.open(path, os.O_RDWR)

def add():
    if worker == "1":  # the second one, in the first run
        while not os.path.exists(told):
            time.sleep(0.001)
    locks = [file, os.open(path + ".second", os.O_CREAT | os.O_RDWR)][: {"locks": 1, "opposite": 2}.get(how, 0)]
    for each in locks if worker == "0" else reversed(locks):
        fcntl.flock(each, fcntl.LOCK_EX)
    value = os.pread(file, 8, 0)
    if how == "locks late":
        fcntl.flock(file, fcntl.LOCK_EX)
        locks = [file]
    os.pwrite(file, b"%8d" % (int(value) + 1), 0)
    for each in locks:
        fcntl.flock(each, fcntl.LOCK_UN)
    if worker == "0":
        os.close(os.open(told, os.O_CREAT | os.O_WRONLY))

if how != "forks":
    add()
for worker in "01" if how == "forks" else "":
    if not os.fork():
        add()
        os._exit(0)
for _ in "01" if how == "forks" else "":
    os.wait()
"""


def count(path: Path) -> list[str]:
    """Return what is wrong with the counter: it has one addition of each process."""
    return [] if path.read_bytes() == b"%8d" % 2 else [f"the counter is {int(path.read_bytes())}"]


def replayed(how: str, path: str, named: list[str], limit_s: float, fault: int, *, checks: bool) -> dict[str, object]:
    """Return the document of two processes that add to a counter, one fault of them replayed; its code and report."""
    replay.LIMIT_S = limit_s
    Path(path).write_bytes(b"%8d" % 0)
    command = [sys.executable, "-c", ADDS, how, path, "{worker}", *named]
    options = WatchOptions(command, 1 if how == "forks" else 2, [path + "*"], [], [], 60.0, "", replay=fault)
    done = watch(options, count if checks else None)
    found: dict[str, object] = msgspec.to_builtins(done)
    return {**found, "code": int(exit_code(done)), "text": full_text_of(done), "complaints": [*complaints(done)]}


@pytest.fixture(scope="module")
def other() -> Iterator[OtherProcess]:
    with OtherProcess() as process:
        yield process


PATIENCE_S = 30.0
"""So long two processes wait for each other that come for certain."""


@pytest.mark.parametrize(
    ("how", "cause"), [("no lock", "no lock"), ("locks late", "read before the lock"), ("forks", "no lock")]
)
@pytest.mark.parametrize("checks", [True, False])
def test_the_other_order_loses_an_update(
    other: OtherProcess, tmp_path: Path, how: str, cause: str, checks: bool
) -> None:
    """The first run is in order by a file that is there in the others: its name is in no word of the command."""
    done = other.call(replayed, how, str(tmp_path / "counter"), [], PATIENCE_S, 1, checks=checks)
    seen, other_order = done["replayed"]["seen"], done["replayed"]["other"]
    assert done["findings"][0]["cause"] == cause
    assert (seen["why_not"], other_order["why_not"]) == ("", "")
    assert (done["replayed"]["same_bytes"], done["code"]) == (False, 1)
    if checks:
        assert (seen["damage"], other_order["damage"]) == ([], ["the counter is 1"])
        assert "DAMAGE: the counter is 1" in done["text"]
    else:
        assert (seen["damage"], other_order["damage"]) == (None, None)
        assert "with OTHER bytes" in " ".join(done["text"].split())
    assert count(tmp_path / "counter") == ["the counter is 1"]  # it was put back before each run


def test_what_something_else_orders_cannot_be_made_in_the_other_order(other: OtherProcess, tmp_path: Path) -> None:
    """The file that the second waits for is named in the command: it is gone again, and the wait for it has a limit."""
    told = str(tmp_path / "told")
    done = other.call(replayed, "no lock", str(tmp_path / "counter"), [told], 0.3, 1, checks=True)
    for order in ("seen", "other"):
        assert "was not reached within 0.3 s" in done["replayed"][order]["why_not"]
        assert done["replayed"][order]["damage"] is None
    assert (done["replayed"]["same_bytes"], done["code"]) == (None, 1)
    assert "could not be made" in " ".join(done["text"].split())
    assert [outcome["exit_code"] for outcome in done["outcomes"]] == [0, 0]


@pytest.mark.parametrize(
    ("how", "fault", "why", "code"),
    [
        ("opposite", 1, "not about two reads or writes of two processes", 3),
        ("no lock", 2, "there is no fault of this number; there is 1", 3),
        ("locks", 1, "there is no fault of this number; there is none", 0),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_reason(
    other: OtherProcess, tmp_path: Path, how: str, fault: int, why: str, code: int
) -> None:
    done = other.call(replayed, how, str(tmp_path / "counter"), [], 0.3, fault, checks=False)
    assert why in done["replayed"]["refused"]
    assert any(why in line for line in done["complaints"])
    assert done["code"] == code


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--replay", "1", "--read", "logs"], "--replay runs the command again"),
        (["--replay", "1", "--level", "pages", "--", "true"], "--replay holds calls"),
        (["--check", "true", "--", "true"], "--check judges the file that a replay leaves"),
        (["--replay", "1", "--check", "missing.py", "--", "true"], "missing.py"),
    ],
)
def test_options_that_make_no_sense_together(given: list[str], why: str) -> None:
    done = run_lab("watch", *given)
    assert done.returncode == 2
    assert why in done.stderr
