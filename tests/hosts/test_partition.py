"""A host that holds locks is cut off: who is granted them, what the old holder sees, and whether it writes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.hosts import check as hosts_check
from lab.hosts import partition
from lab.hosts.gateways import HostName
from lab.hosts.links import HostError, Reach
from lab.hosts.partition import Commands, Partition
from lab.records import CheckOptions
from lab.report.text.check import exit_code
from tests.helpers import PATIENCE, in_fresh_process, run_lab
from tests.hosts.rig import hosts_on


def cut_off(path: str, shared: str, cut: str, heal: str) -> dict[str, Any]:
    """What a check of hosts a and b finds that cuts b off."""
    os.environ["PATH"] = path
    vars(partition)["AFTER_S"] = 0.5
    reach = Reach(tuple(map(HostName.read, "ab")), sys.executable)
    options = CheckOptions(
        [shared], ["partition"], 1.0, 0, 4, faults=True, hosts=["a", "b"], cut=cut, heal=heal, cut_s=60.0,
        timeout_s=5.0 * PATIENCE,
    )  # fmt: skip
    done = hosts_check.check(options, reach, shared, lambda _: None)
    return {
        "code": int(exit_code(done)),
        "verdicts": [(each.lock, each.verdict) for each in done.partitions],
        "granted": [each.granted_s is not None for each in done.partitions],
        "overwrote": [each.overwrote for each in done.partitions],
        "errors": [[each.call, *each.errors] for each in done.partitions[0].calls],
        "unfenced": [sum(each.unfenced for each in cut.calls) for cut in done.partitions],
        "healed": [
            {each.call for each in cut.calls if each.unfenced_healed} == {"read", "write"} for cut in done.partitions
        ],
        "left": done.left_behind,
    }


ALL = ["posix", "ofd", "flock"]
GONE = "ENOTCONN"
FROM_A_CUT = {
    "unfenced": (1, "unsafe", True, [["read", GONE], ["write", GONE], ["lock", GONE, "EAGAIN"]]),
    "fenced": (0, "safe", False, [[each, GONE, "EBADFD"] for each in ("read", "write", "lock")]),
}


@pytest.mark.mounts
@pytest.mark.parametrize("filesystem", FROM_A_CUT)
def test_the_verdict_on_a_storage_that_takes_the_locks_of_a_host_that_is_cut_off(
    filesystem: str, tmp_path: Path
) -> None:
    code, verdict, overwrote, errors = FROM_A_CUT[filesystem]
    with hosts_on(filesystem, tmp_path) as rig:
        found = in_fresh_process(
            cut_off,
            rig.env["PATH"],
            str(rig.shared),
            f"touch {tmp_path}/cut-{{}}",
            f"rm {tmp_path}/cut-{{}}",
        )
        assert not list(rig.backing.iterdir())
    assert found == {
        "code": code,
        "verdicts": [[lock, verdict] for lock in ALL],
        "granted": [True] * 3,
        "overwrote": [overwrote] * 3,
        "errors": errors,
        "unfenced": [0] * 3,
        "healed": [overwrote] * 3,
        "left": [],
    }


class Host:
    """The keeper of a host that answers everything as a holder does, or as one that asks."""

    def __init__(self, name: str, fails: Callable[[str], None] = lambda _: None) -> None:
        self.name = name
        self.failed: HostError | None = None
        self.link = self
        self._fails = fails

    def ask(self, do: str, *_: object, **__: object) -> dict[str, Any]:
        self._fails(do)
        said = {"check.hold": "granted", "check.contend": "EAGAIN"}.get(do, "")
        return {"said": {"posix": said}, "last": {"posix": {"ask": [0, 0, "EAGAIN"]}}}

    def ping(self, _: float) -> tuple[int, int, int]:
        return 1, 2, 3


def interrupts(do: str) -> None:
    if do == "check.last_calls":
        raise KeyboardInterrupt


def is_gone(do: str) -> None:
    if do == "check.last_calls":
        raise HostError("a: the connection is gone")


@pytest.mark.parametrize(
    ("cut", "fails", "expected"),
    [
        ("false", None, "--cut: the command ended with 1"),
        ("no-such-command", None, "--cut: no-such-command: No such file or directory"),
        ("true", interrupts, KeyboardInterrupt),
        ("true", is_gone, HostError),
    ],
)
def test_the_host_is_healed_in_any_case(
    cut: str,
    fails: Callable[[str], None] | None,
    expected: str | type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partition, "BEFORE_S", 0.0)
    hosts: Any = {"a": Host("a", fails or (lambda _: None)), "b": Host("b")}
    made = Partition(hosts, ["posix"], Commands(cut, f"touch {tmp_path}/{{}}", 0.1))
    if isinstance(expected, str):
        assert [(each.verdict, each.reason) for each in made.perform()] == [("unknown", expected)]
    else:
        with pytest.raises(expected):
            list(made.perform())
    assert [each.name for each in tmp_path.iterdir()] == ["b"]


WRONG = {
    "--cut 'x {}'": "give both",
    "--cut 'x {}' --heal 'y {}'": "add --faults",
    "--cut 'x {}' --heal '\"y {}' --faults": "is no command",
    "--cut 'x {}' --heal 'y {}' --faults --only probe": "add partition to it",
    "--only partition": "takes what cuts a host off",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_cut_that_makes_no_sense_is_a_usage_error(words: str) -> None:
    import shlex

    ended = run_lab("check", "--hosts", "a,b", "/mnt", *shlex.split(words))
    assert (ended.returncode, WRONG[words] in ended.stderr) == (2, True), ended.stderr
