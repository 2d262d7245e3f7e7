from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from lab.memory import workspace
from lab.memory.folder import Exchanged, Folder
from tests.attacker import Attacker, link_to, moved_in, untouched, victim_in
from tests.helpers import in_fresh_process

PUT = {"a link": link_to, "a directory": moved_in}


def filled(folder: Path) -> None:
    """Put a file, and a folder with a file, into it."""
    (folder / "file").touch()
    (folder / "inner").mkdir()
    (folder / "inner" / "file").touch()


def attacked(directory: str, what: str, use: Callable[[Path], None]) -> list[int]:
    """The calls before which the folder was replaced, one after the other; the victim is looked at after each."""
    tried: list[int] = []
    for number in range(1000):
        place = Path(directory) / str(number)
        place.mkdir()
        victim = victim_in(place)
        attacker = Attacker(place, number, PUT[what](victim))
        with pytest.MonkeyPatch.context() as patch:
            attacker.hook(patch)
            use(place)
        if not attacker.acted:
            return tried
        tried.append(number)
        there = victim if victim.exists() else next(place.glob("lab-*"))
        assert untouched(there), f"{what}, before call {number}"
    raise AssertionError("it never came to an end without an attack")


def held_workspace(place: Path) -> None:
    """A workspace that is filled, and ends; it may be refused."""
    with suppress(Exception), workspace(place) as folder:
        filled(folder)


def removed_elsewhere(place: Path) -> None:
    """A folder that is made, and removed by who knows only what it is."""
    with suppress(OSError):
        folder = Folder.make(place / "lab-check")
        filled(folder.path)
        Folder(*folder).remove()


def every_attack(directory: str, what: str, use: str) -> list[int]:
    return attacked(directory, what, globals()[use])


@pytest.mark.parametrize("use", ["held_workspace", "removed_elsewhere"])
@pytest.mark.parametrize("what", list(PUT))
def test_whatever_takes_the_place_of_a_folder_at_any_call_is_untouched(what: str, use: str, tmp_path: Path) -> None:
    tried = in_fresh_process(every_attack, str(tmp_path), what, use)
    assert len(tried) > 8, "it does not make that few calls"


def test_a_link_in_the_place_of_a_workspace_is_said_and_the_folder_that_was_moved_is_emptied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = victim_in(tmp_path)
    with workspace(tmp_path) as folder:
        filled(folder)
        folder.rename(tmp_path / "moved")
        folder.symlink_to(victim)
    assert untouched(victim)
    assert folder.is_symlink()
    assert list((tmp_path / "moved").iterdir()) == []
    said = capsys.readouterr().err
    assert said == (
        f"lab: {folder}: left behind, for it could not be removed (a symbolic link is in its place, which is left "
        "alone; what was in the folder may be elsewhere); remove it by hand\n"
    )


def test_a_workspace_that_was_moved_away_is_emptied_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workspace(tmp_path) as folder:
        filled(folder)
        folder.rename(tmp_path / "moved")
    assert list((tmp_path / "moved").iterdir()) == []
    assert f"somebody moved it to {tmp_path / 'moved'}; it is emptied" in capsys.readouterr().err


def test_folders_in_a_workspace_go_and_what_links_in_it_lead_to_stays(tmp_path: Path) -> None:
    victim = victim_in(tmp_path)
    with workspace(tmp_path) as folder:
        filled(folder)
        (folder / "link").symlink_to(victim)
        (folder / "inner" / "link").symlink_to(victim)
        (folder / "inner").chmod(0)
    assert untouched(victim)
    assert not folder.exists()


@pytest.mark.mounts
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_a_mount_in_a_folder_is_not_entered(kind: str, tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "made")
    inner = folder.path / "inner"
    inner.mkdir()
    victim = victim_in(tmp_path)
    command = ["--bind", victim, inner] if kind == "bind" else ["-t", "tmpfs", "lab-test", inner]
    mounted = subprocess.run(["mount", *map(str, command)], capture_output=True, text=True, check=False)  # noqa: S607
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
    try:
        if kind == "tmpfs":
            victim = victim_in(inner)
        assert folder.remove() == "holds inner"
        assert untouched(victim)
    finally:
        subprocess.run(["umount", inner], check=True)  # noqa: S607
    assert folder.remove() == ""


def test_a_folder_goes_by_what_it_is_in_another_process_too(tmp_path: Path) -> None:
    made = in_fresh_process(make_one, str(tmp_path / "made"))
    folder = Folder(Path(made[0]), made[1], made[2])
    filled(folder.path)
    assert folder.remove() == ""
    assert not folder.path.exists()
    assert folder.remove() == "", "what is gone is gone"


def make_one(path: str) -> tuple[str, int, int]:
    made = Folder.make(Path(path))
    return str(made.path), made.device, made.inode


def test_where_the_inode_is_another_nothing_is_deleted(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "made")
    filled(folder.path)
    other = folder._replace(inode=folder.inode + 1)
    assert other.remove().startswith("something else is in its place")
    with pytest.raises(Exchanged):
        other.unlink("file")
    assert (folder.path / "file").exists()


def test_a_name_that_would_act_on_the_terminal_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder.make(tmp_path / "made")
    (folder.path / "a\x1b[31m\n").touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refuse)
    assert folder.remove() == r"holds a\x1b[31m\n"


def test_only_what_is_wanted_is_cleared(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "made")
    filled(folder.path)
    assert folder.clear(lambda name: name.startswith("in")) == []
    assert [each.name for each in folder.path.iterdir()] == ["file"]
