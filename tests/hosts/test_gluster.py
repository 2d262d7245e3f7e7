"""Three hosts with a real ssh between them and a GlusterFS volume on each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import PATIENCE_S, run_lab
from tests.hosts.gluster import GIVES_UP_SOON, LOCKS_AT_ONCE, NO_TRANSLATORS, gluster
from tests.hosts.rig import AHEAD_S

pytestmark = [pytest.mark.needs("gluster"), pytest.mark.mounts]

ONLY = ["--only", "posix,pread,remapped_pread,fenced"]


def test_a_volume_that_keeps_what_it_read_is_safe_for_a_file_reopened_in_the_lock_alone(tmp_path: Path) -> None:
    """A host that is cut off loses its locks, and writes on once it is back."""
    options = {**LOCKS_AT_ONCE, **NO_TRANSLATORS, **GIVES_UP_SOON}
    with gluster(tmp_path, "replica 2", options, ["--fopen-keep-cache=no"]) as rig:
        ended = run_lab(
            "check",
            rig.shared,
            *ONLY,
            *rig.options,
            *rig.cutting,
            "--no-save",
            "--json",
            "-",
            env=rig.env,
            timeout=3 * PATIENCE_S,
        )
    check = json.loads(ended.stdout)
    verdicts = {each["name"]: each["verdict"] for each in check["guarantees"]}
    assert (ended.returncode, verdicts) == (
        1,
        {"posix": "safe", "fenced": "unsafe", "pread": "unsafe", "remapped_pread": "safe"},
    ), ended.stderr
    for cut in check["partitions"]:
        assert (cut["holder"], cut["granted_s"] is not None, cut["overwrote"]) == ("c", True, True), cut
        errors = {each["call"]: {*each["errors"]} for each in cut["calls"]}
        assert errors["write"] <= {"EBADFD", "ENOTCONN"}
        assert errors["write"]
        assert errors["lock"] <= {"EBADFD", "ENOTCONN", "EAGAIN"}
        assert "EAGAIN" in errors["lock"]
    found = {(host["filesystem"], host["sees"], host["same_kernel_as"], host["trouble"]) for host in check["hosts"]}
    assert found == {("fuse.glusterfs", True, "", "")}
    for index, host in enumerate(check["hosts"]):
        assert abs(host["clock_offset_ns"] - index * AHEAD_S * 10**9) <= host["clock_uncertainty_ns"]
    assert not list(rig.shared.iterdir())


def test_locks_exclude_between_hosts_and_the_data_under_them_is_stale(tmp_path: Path) -> None:
    with gluster(tmp_path) as rig:
        words = [
            "check",
            *rig.options,
            str(rig.shared),
            "--only",
            "probe,turns,posix,pread",
            "--no-save",
            "--json",
            "-",
        ]
        ended = run_lab(*words, env=rig.env)
        assert not list(rig.shared.iterdir())
    found = json.loads(ended.stdout)
    assert (ended.returncode, {each["name"]: each["verdict"] for each in found["guarantees"]}) == (
        1,
        {"posix": "safe", "pread": "unsafe"},
    )
    assert all(each["stale"] for each in found["turns"])
