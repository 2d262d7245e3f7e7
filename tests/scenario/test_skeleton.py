from __future__ import annotations

import os
import resource
import tomllib
from pathlib import Path

import pytest

from lab.cli.new import TEMPLATE, write_skeleton
from lab.errors import CannotRunError, UsageError
from lab.scenario import find_scenarios
from tests.helpers import ROOT, in_fresh_process


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["mine", "mine.py"])
def test_a_name_is_taken_with_or_without_its_suffix(name: str, here: Path) -> None:
    assert write_skeleton(name) == Path("mine.py")
    assert [path.name for path in here.iterdir()] == ["mine.py"]


@pytest.mark.parametrize("name", ["my_format", "größe", "Mine2", "match"])
def test_any_name_of_a_module_will_do(name: str) -> None:
    (found,) = find_scenarios([str(write_skeleton(name))])
    assert found.name == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "'' is no name for a module; use letters, digits and _"),
        (".py", "'.py' is no name for a module"),
        ("my-format", "'my-format' is no name for a module"),
        ("1st", "'1st' is no name for a module"),
        ("mine.txt", "'mine.txt' is no name for a module"),
        ("two\nlines", r"'two\nlines' is no name for a module"),
        ("nul\0", r"'nul\x00' is no name for a module"),
        ("\udcff", r"'\udcff' is no name for a module"),
        ("__init__", "'__init__' is no name for a module"),
        ("folder/mine", "'folder/mine' names a folder; go there with cd, and give the name alone"),
        ("../mine.py", "'../mine.py' names a folder"),
        ("class", "'class' is a keyword of Python"),
        ("None.py", "'None.py' is a keyword of Python"),
        ("counter", "'counter' is the name of a built-in scenario"),
        ("random", "'random' would hide the module random from every Python started in this folder"),
        ("greenlet.py", "'greenlet.py' would hide the module greenlet"),
        ("lab", "'lab' would hide the module lab"),
    ],
)
def test_a_name_that_will_not_do_is_refused_with_the_reason(name: str, said: str, here: Path) -> None:
    with pytest.raises(UsageError) as raised:
        write_skeleton(name)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)
    assert list(here.iterdir()) == []


def test_a_file_that_is_there_stays_as_it_is(here: Path) -> None:
    (here / "mine.py").write_text("precious")
    with pytest.raises(UsageError, match=r"mine.py is there already, and stays as it is; choose another name"):
        write_skeleton("mine")
    assert (here / "mine.py").read_text() == "precious"


def test_a_folder_of_that_name_stays_as_it_is(here: Path) -> None:
    (here / "mine.py").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        write_skeleton("mine")


def test_a_link_that_leads_nowhere_is_not_followed(here: Path) -> None:
    (here / "mine.py").symlink_to("elsewhere")
    with pytest.raises(UsageError, match="is there already"):
        write_skeleton("mine")
    assert not (here / "elsewhere").exists()


def test_a_name_that_is_too_long_is_told() -> None:
    with pytest.raises(CannotRunError, match=r"cannot be written \(File name too long\); choose another name"):
        write_skeleton("a" * 300)


def test_a_folder_that_is_gone_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "gone").mkdir()
    monkeypatch.chdir(here / "gone")
    (here / "gone").rmdir()
    with pytest.raises(CannotRunError, match="No such file or directory"):
        write_skeleton("mine")


def told_where_files_may_have_100_bytes(folder: str) -> str:
    """What is said, by setrlimit(2), where a write stops half-way."""
    os.chdir(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        write_skeleton("mine")
    except CannotRunError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return "nothing"


def test_what_could_not_be_written_whole_is_taken_back(here: Path) -> None:
    told = in_fresh_process(told_where_files_may_have_100_bytes, str(here))
    assert told == "mine.py: cannot be written (File too large); choose another name or folder"
    assert list(here.iterdir()) == []


def test_the_text_that_it_starts_from_is_part_of_the_package() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (pattern,) = told["tool"]["setuptools"]["package-data"]["lab.scenario"]
    assert list((ROOT / "lab/scenario").glob(pattern)) == [TEMPLATE]
