"""Several hosts: who is there, and what is said of one that cannot be reached, falls silent or sees another file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.hosts import survey
from lab.hosts.clocks import offset
from lab.hosts.gateways import HostName
from lab.hosts.links import HostError, Link, Reach, connected
from lab.records import HostsOptions, Mount
from lab.report.text.check import conclusion
from lab.report.text.hosts import REPORT
from lab.report.text.race_verdict import conclusions
from tests.checking.fuse.serving import fuse
from tests.helpers import PATIENCE, in_fresh_process, run_lab
from tests.hosts.rig import AHEAD_S, hosts_on, ssh
from tests.needs import private_mounts
from tests.report.checked_records import check_of, guarantee
from tests.report.records import CLEAN, run_of

LOCAL = HostName.read("local")


def surveyed(hosts: str, shared: Path, *options: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any], str]:
    """The exit code, the hosts by name, and the lines on stderr; nothing is left, neither a file nor a process."""
    words = ["hosts", hosts, "--dir", str(shared), "--python", sys.executable, *options, "--json", "-"]
    ended = run_lab(*words, env=env)
    left = [each.cmdline() for each in psutil.process_iter() if "lab.hosts.keeper" in " ".join(_words(each))]
    assert not [each for each in left if str(shared) in " ".join(each)]
    assert not list(shared.glob("lab-hosts-*"))
    return ended.returncode, {host["name"]: host for host in json.loads(ended.stdout)["hosts"]}, ended.stderr


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


class Keeper:
    """The far end of a link: its agent says of a silent keeper in which states it is, one after the other."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def listen(self, hear: Callable[[tuple[Any, ...]], None]) -> None:
        self.hear = hear

    def send(self, message: tuple[Any, ...]) -> None:
        assert message == ("look",)
        if self.states:
            self.hear(("state", self.states.pop(0), ""))
        else:
            self.hear(("state", "R", ""))
            self.hear(("answer", '{"done": true}'))


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ([], ""),
        (["R", "R", "R"], ""),
        (["D"], "the filesystem does not answer its keeper (state D)"),
        (["R", "S"], "the filesystem does not answer its keeper (state S)"),
        (["T"], "a signal has stopped its keeper (SIGSTOP)"),
        (["R"] * 20, "its keeper runs, or waits for a processor (state R)"),
    ],
)
def test_a_keeper_that_finds_no_processor_is_waited_for_longer(states: list[str], says: str) -> None:
    link = Link("a", Keeper(*states))
    if says:
        with pytest.raises(HostError, match=re.escape(says)):
            link.answer(0.01)
    else:
        assert link.answer(0.01) == {"done": True}


def test_each_host_that_fails_is_named_with_what_to_do_and_the_others_go_on(tmp_path: Path) -> None:
    env = ssh(
        tmp_path / "bin",
        {
            "a": {},
            "b": {},
            "old": {"version": "3,9,2"},
            "refused": {"ends": 255},
            "bare": {"ends": 127},
            "noisy": {"noise": "Welcome!\n"},
        },
    )
    shared = tmp_path / "shared"
    shared.mkdir()
    code, hosts, said = surveyed("a,me@b:2222,old,me@refused:22,bare,noisy", shared, env=env)
    assert code == 3
    assert {name: host["trouble"] for name, host in hosts.items()} == {
        "a": "",
        "b:2222": "",
        "old": "Python 3.9.2 there, and the lab needs 3.11; give --python PATH",
        "refused:22": "ssh cannot connect, or would have to ask; try: ssh -p 22 me@refused true",
        "bare": "no Python there under that name; give --python PATH, or try: ssh bare",
        "noisy": "something was printed before Python answered; silence the login files there, or try: ssh noisy true",
    }
    assert [hosts[name]["sees"] for name in hosts] == [True, True, None, None, None, None]
    assert hosts["b:2222"]["same_kernel_as"] == "a"
    assert [line.split(":")[1].strip() for line in said.splitlines()] == ["old", "refused", "bare", "noisy"]


def test_a_host_that_never_answers_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    env = ssh(tmp_path / "bin", {"a": {}, "silent": {"silent": True}})
    limit = 12 * PATIENCE  # of a busy machine host a needs some seconds
    code, hosts, _ = surveyed("a,silent", tmp_path, "--timeout", f"{limit:g}", env=env)
    assert (code, hosts["a"]["trouble"], hosts["silent"]["trouble"]) == (3, "", f"no connection in {limit:g} s")


def test_a_command_in_place_of_ssh_reaches_hosts_and_is_named_where_it_does_not(tmp_path: Path) -> None:
    code, hosts, _ = surveyed("a,b", tmp_path, "--rsh", "env HOST={}", env={})
    assert (code, [host["sees"] for host in hosts.values()]) == (0, [True, True])
    code, hosts, _ = surveyed("a,b", tmp_path, "--rsh", "false {} --", env={})
    assert (code, hosts["b"]["trouble"]) == (
        3,
        "no Python there under that name; give --python PATH, or try: false b --",
    )


def surveyed_soon(shared: str, path: str, timeout_s: float = 60.0) -> dict[str, Any]:
    """The document of hosts a and b, where what one wrote has half a second to be seen on the other."""
    os.environ["PATH"] = path
    vars(survey)["SEEN_S"] = 0.5
    reach = Reach(tuple(HostName.read(name) for name in "ab"), sys.executable)
    done = survey.survey(HostsOptions(hosts=["a", "b"], directory=shared, timeout_s=timeout_s), reach)
    return {
        "one": done.is_one_filesystem,
        "code": REPORT.exit_code(done),
        **{each.name: asdict(each) for each in done.hosts},
    }


@pytest.mark.parametrize("one", [True, False])
def test_one_filesystem_is_told_from_two_and_clocks_far_apart_are_bounded(tmp_path: Path, one: bool) -> None:
    shared, other = tmp_path / "shared", tmp_path / "other"
    shared.mkdir()
    other.mkdir()
    mounts = [str(shared if one else other), str(shared)]
    there = {"as": private_mounts()[1:], "mounts": mounts, "ahead_s": AHEAD_S}
    found = in_fresh_process(surveyed_soon, str(shared), ssh(tmp_path / "bin", {"a": {}, "b": there})["PATH"])
    assert (found["one"], found["code"], found["a"]["sees"], found["b"]["sees"]) == (one, 0 if one else 3, True, one)
    for name, ahead_s in (("a", 0), ("b", AHEAD_S)):
        assert abs(found[name]["clock_offset_ns"] - ahead_s * 10**9) <= found[name]["clock_uncertainty_ns"]
    assert not [*shared.iterdir(), *other.iterdir()]


def test_a_host_whose_file_system_is_full_is_named_and_nothing_is_left_there(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    full = {"as": private_mounts()[1:], "full": str(shared)}
    found = in_fresh_process(surveyed_soon, str(shared), ssh(tmp_path / "bin", {"a": full, "b": {}})["PATH"])
    assert (found["code"], found["a"]["trouble"], found["b"]["trouble"]) == (3, "No space left on device", "")
    assert not list(shared.iterdir())


@pytest.mark.mounts
@pytest.mark.parametrize("filesystem", ["bind", "honest"])
def test_hosts_in_namespaces_of_their_own_are_told_apart(tmp_path: Path, filesystem: str) -> None:
    with hosts_on(filesystem, tmp_path, 3) as rig:
        code, hosts, said = surveyed("a,b,c", rig.shared, env=rig.env)
    assert (code, said, [host["sees"] for host in hosts.values()]) == (0, "", [True, True, True])
    assert {host["filesystem"] == "fuse" for host in hosts.values()} == {filesystem == "honest"}
    for index, host in enumerate(hosts.values()):
        assert host["same_kernel_as"] == ""
        assert abs(host["clock_offset_ns"] - index * AHEAD_S * 10**9) <= host["clock_uncertainty_ns"]


@pytest.mark.needs("fuse")
@pytest.mark.mounts
def test_a_mount_that_stops_answering_on_one_host_is_named_and_the_other_host_goes_on(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with fuse("honest", 2, ("open", "1", "stop")) as mounts:
        there = [{"as": ["--mount"], "mounts": [str(mount), str(shared)]} for mount in mounts]
        path = ssh(tmp_path / "bin", dict(zip("ab", there, strict=True)))["PATH"]
        found = in_fresh_process(surveyed_soon, str(shared), path, 2 * PATIENCE)
        assert not list(mounts[0].glob("lab-hosts-*"))
    assert (found["code"], found["a"]["trouble"], found["a"]["sees"], found["b"]["sees"]) == (3, "", True, None)
    assert "the filesystem does not answer its keeper (state " in found["b"]["trouble"]


def signalled_keeper(number: int, timeout_s: float) -> str:
    """What is said where the keeper of a host gets a signal."""
    with connected(Reach((LOCAL,)), 60.0) as links:
        link = links["local"]
        assert isinstance(link, Link)
        link.ask("about", directory="/")
        link.answer(60.0)
        keepers = [
            each for each in psutil.Process().children(recursive=True) if "lab.hosts.keeper" in each.cmdline()[-1]
        ]
        keepers[0].send_signal(number)
        link.ask("about", directory="/")
        try:
            link.answer(timeout_s)
        except HostError as error:
            return str(error)
    return "an answer"


@pytest.mark.parametrize(
    ("number", "timeout_s", "said"),
    [
        (signal.SIGKILL, 60.0, "local: its keeper was killed by signal 9"),
        (signal.SIGSTOP, 1.0 * PATIENCE, f"no answer in {PATIENCE:g} s: a signal has stopped its keeper (SIGSTOP)"),
    ],
)
def test_a_keeper_that_is_killed_or_stopped_is_said_to_be(number: int, timeout_s: float, said: str) -> None:
    assert said in in_fresh_process(signalled_keeper, number, timeout_s)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_where_the_lab_is_killed_or_ended(number: int, tmp_path: Path) -> None:
    env = {**os.environ, **ssh(tmp_path / "bin", {"a": {}, "silent": {"silent": True}})}
    words = ["hosts", "a,silent", "--dir", str(tmp_path), "--python", sys.executable, "--timeout", "60"]
    with subprocess.Popen([sys.executable, "-m", "lab", *words], env=env, start_new_session=True) as process:
        its = psutil.Process(process.pid)
        while not (keepers := [each for each in its.children(recursive=True) if "keeper" in " ".join(_words(each))]):
            assert process.poll() is None
        process.send_signal(number)
        psutil.wait_procs(keepers, timeout=60 * PATIENCE)
        assert not any(each.is_running() for each in keepers)
        assert process.wait(60 * PATIENCE) == (130 if number == signal.SIGTERM else -number)
        for each in psutil.process_iter():
            if str(tmp_path) in " ".join(_words(each)):  # the ssh that never answers is the test's own
                each.kill()


@pytest.mark.parametrize(
    ("text", "address", "port", "label"),
    [
        ("a", "a", "", "a"),
        ("me@a.example:2222", "me@a.example", "2222", "a.example:2222"),
        ("[fe80::1%eth0]:22", "fe80::1%eth0", "22", "[fe80::1%eth0]:22"),
    ],
)
def test_hosts_are_named_as_for_ssh(text: str, address: str, port: str, label: str) -> None:
    name = HostName.read(text)
    assert (name.address, name.port, name.label) == (address, port, label)


@pytest.mark.parametrize("text", ["", "a b", "-oProxyCommand=x", "a:b", "a//python=x", "me@", "a:123456", "a=b//c"])
def test_what_is_no_name_of_a_host_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no host"):
        HostName.read(text)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["local,a,local", "--dir", "/nowhere"],
            "local: is named twice; name each host once; local:1,local:2 are two agents on this machine",
        ),
        (["me@a", "--hosts", "a", "--dir", "/nowhere"], "a: is named twice; name each host once"),
        (["--dir", "/nowhere"], "which hosts? Give them, as in lab hosts a,b --dir /mnt/share"),
        (
            ["a", "--dir", "/nowhere", "--rsh", "x", "--ssh-config", "y"],
            "--rsh: a command in place of ssh reads no --ssh-config; leave one of them out",
        ),
        (
            ["a", "--dir", "/nowhere", "--rsh", "docker -H ssh://{} exec"],
            "--rsh docker -H ssh://{} exec: cannot have two slashes in a row; put the command into a script",
        ),
        (["a", "--dir", "share"], "--dir share: give the whole path, as it is on the hosts"),
        (
            ["--hosts-file", "missing", "--dir", "/nowhere"],
            "--hosts-file missing: No such file or directory; give another",
        ),
        (
            ["--hosts-file", "listed", "--dir", "/nowhere"],
            "'a b' is no host; give it as host, user@host or user@host:port",
        ),
    ],
)
def test_wrong_usage_is_refused(tmp_path: Path, words: list[str], why: str) -> None:
    (tmp_path / "listed").write_text("# the nodes\nn1\na b # two\n")
    ended = run_lab("hosts", *words, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"lab: {why}\n")


pings = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))


@given(st.integers(-(10**15), 10**15), st.lists(pings, min_size=1))
def test_the_true_offset_lies_within_the_bounds(ahead: int, delays: list[tuple[int, int]]) -> None:
    """Each ping is sent at a time of its own; its way there and back take what they take."""
    made = [(at, at + there + ahead, at + there + back) for at, (there, back) in enumerate(delays)]
    found = offset(made)
    assert found.least <= ahead <= found.most
    assert abs(found.middle - ahead) <= found.uncertainty
    assert found.round_trip == min(there + back for there, back in delays)


TWO = [Mount("/a", "nfs4", "rw"), Mount("/b", "nfs4", "rw")]


@pytest.mark.parametrize(
    ("filesystem", "mounts", "said"), [("nfs4", [], True), ("nfs4", TWO, False), ("ext4", [], False)]
)
def test_a_race_and_a_check_of_one_host_say_where_others_were_not_tried(
    filesystem: str, mounts: list[Mount], said: bool
) -> None:
    def there(run: Any) -> Any:
        return replace(run, environment=replace(run.environment, filesystem=filesystem, mounts=mounts))

    raced, checked = there(run_of(CLEAN)), there(check_of(guarantee("posix")))
    for text in ("\n".join(conclusions(raced)), conclusion(checked)):
        assert ("check --hosts HOST,HOST /mnt" in " ".join(text.split())) is said
