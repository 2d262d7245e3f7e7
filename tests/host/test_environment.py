from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import pytest

from lab.host.environment import anonymous_text, environment
from lab.host.procfs import ListedMount, mount_id
from lab.locking import RECORDER
from tests.helpers import run_lab

USER = "zaphodbeeblebrox"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> str:
    """A user with a name, a home, and something in the environment."""
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, USER)
    monkeypatch.setenv("HOME", f"/home/{USER}")
    monkeypatch.setenv("LAB_SECRET", "correct horse battery staple")
    return f"/home/{USER}"


def mounted(monkeypatch: pytest.MonkeyPatch, place: Path, filesystem: str, options: str) -> None:
    listed = {mount_id(place): ListedMount(filesystem, options.split(","))}
    monkeypatch.setattr("lab.host.environment.listed_mounts", lambda: listed)


def filesystem(place: str) -> tuple[str, str]:
    found = environment(Path(place), 0.0)
    return found.filesystem, found.mount_options


def test_the_environment_says_what_the_figures_are_to_be_read_by(tmp_path: Path) -> None:
    found = environment(tmp_path, 1.23456, RECORDER)
    assert found.kernel == f"Linux {os.uname().release}"
    assert found.machine == os.uname().machine
    assert found.python.startswith(("CPython 3.", "PyPy 3."))
    assert found.recorder == RECORDER
    assert 1 <= found.cpus_allowed == len(os.sched_getaffinity(0)) <= found.cpus
    assert found.load_at_start == 1.23
    assert all(value not in ("", None) for value in asdict(found).values())


def test_the_environment_holds_no_user_name_and_no_environment_variable(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(monkeypatch, Path("/"), "overlay", f"rw,lowerdir={home}/lower:/srv/{USER}/x,upperdir=/mnt/{USER}")
    said = json.dumps(asdict(environment(Path("/"), 0.0)))
    assert USER not in said
    assert "correct horse" not in said


@pytest.mark.parametrize("option", ["username", "user", "uname"])
def test_the_user_that_a_network_filesystem_was_mounted_as_is_not_told(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(monkeypatch, Path("/"), "cifs", f"rw,{option}={USER},vers=3.0,uid=1000")
    assert filesystem("/") == ("cifs", f"rw,{option}=USER,vers=3.0,uid=1000")


def test_a_link_is_followed_and_an_option_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")
    mounted(monkeypatch, Path("/proc"), "nfs4", "rw,noexec,rw")
    assert filesystem(str(tmp_path / "link")) == ("nfs4", "rw,noexec")


def test_without_a_mount_table_the_filesystem_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.host.environment.listed_mounts", dict)
    assert filesystem("/") == ("unknown", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"/home/{USER}", "~"),
        (f"/home/{USER}/results/run.json: no space", "~/results/run.json: no space"),
        (f"/home/{USER} and /home/{USER}/x", "~ and ~/x"),
        (f"/mnt/{USER}/x", "/mnt/USER/x"),
        (f"/mnt/{USER}: full", "/mnt/USER: full"),
        (f"--dir /srv/{USER},", "--dir /srv/USER,"),
        (f"'/srv/{USER}'", "'/srv/USER'"),
        (f"/home/{USER}2/x", f"/home/{USER}2/x"),
        ("/mnt/share/x", "/mnt/share/x"),
        ("", ""),
    ],
)
def test_text_is_freed_of_the_home_and_of_the_users_name_in_paths(home: str, text: str, said: str) -> None:
    assert anonymous_text(text) == said


@pytest.mark.parametrize("home", ["/", "/root"])
def test_the_homes_of_machines_do_not_eat_other_paths(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    assert anonymous_text("/mnt/root/x") == "/mnt/root/x"


def test_what_the_machine_does_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    def read_text(path: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(platform, "processor", lambda: "")
    found = environment(tmp_path, 0.0)
    assert (found.lab, found.cpu, found.filesystem) == ("unknown", "unknown", "unknown")


def test_a_user_without_a_home_keeps_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    assert anonymous_text("/mnt/x") == "/mnt/x"


def test_a_saved_run_tells_nothing_of_its_user(home: str, tmp_path: Path) -> None:
    place = tmp_path / USER
    place.mkdir()
    env = {"HOME": str(place), "USER": USER, "LAB_SECRET": "correct horse battery staple"}
    small = ["counter", "--locked", "--rounds", "5", "--trials", "1"]
    ended = run_lab("race", *small, "--dir", place, "--json", "-", "--no-save", env=env)
    assert ended.returncode == 0, ended.stderr
    assert '"verdict": "clean"' in ended.stdout
    assert USER not in ended.stdout
    assert "correct horse" not in ended.stdout
