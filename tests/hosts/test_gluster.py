"""Three hosts with a real ssh between them and a GlusterFS volume on each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers import run_lab
from tests.hosts.gluster import gluster
from tests.hosts.rig import AHEAD_S

pytestmark = [pytest.mark.needs("gluster"), pytest.mark.mounts]


def test_hosts_that_share_a_volume_are_surveyed_over_ssh(tmp_path: Path) -> None:
    with gluster(tmp_path) as rig:
        ended = run_lab("hosts", *rig.options, "--dir", rig.shared, "--json", "-", env=rig.env)
    hosts = json.loads(ended.stdout)["hosts"]
    assert (ended.returncode, ended.stderr, [host["trouble"] for host in hosts]) == (0, "", ["", "", ""])
    assert {(host["filesystem"], host["sees"], host["same_kernel_as"]) for host in hosts} == {
        ("fuse.glusterfs", True, "")
    }
    for index, host in enumerate(hosts):
        assert abs(host["clock_offset_ns"] - index * AHEAD_S * 10**9) <= host["clock_uncertainty_ns"]
    assert not list(rig.shared.iterdir())
