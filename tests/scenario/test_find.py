from __future__ import annotations

import os
import tempfile
from pathlib import Path
from textwrap import dedent

import pytest

from lab import gallery
from lab.errors import CannotRunError, UsageError
from lab.gallery import builtin_names, counterexample_names, operations_names
from lab.scenario import find_scenarios
from tests.helpers import ROOT, in_fresh_process

NOBODY = 65534

CRASHES = ["undo_journal", "redo_log", "two_headers", "durable_log", "saved_by_rename"]
FILES = sorted(path.stem for path in (ROOT / "scenarios").glob("*.py"))
CLASSES = {name: find_scenarios([name])[0].kind for name in FILES}
IN_ORDER = sorted(FILES, key=lambda name: CLASSES[name].order)
DEFAULT = [name for name in IN_ORDER if not CLASSES[name].why]
COUNTEREXAMPLES = [name for name in IN_ORDER if CLASSES[name].why]

MINE = '''
    """What mine is about.

    More of it.
    """

    from lab import Scenario


    class Anything(Scenario):
        """A class."""


    class Fixed(Anything):
        """How it is fixed."""


    class AlsoFixed(Anything):
        pass
    '''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A scenario file with two fixed variants."""
    return written(tmp_path / "mine.py", MINE)


def written(path: Path, text: str) -> Path:
    path.write_text(dedent(text))
    return path


def names(*asked: str, counterexamples: bool = False) -> list[str]:
    return [found.name for found in find_scenarios(asked, counterexamples=counterexamples)]


def test_the_default_set_is_the_races_that_a_lock_fixes_in_their_order() -> None:
    structures = operations_names()
    assert builtin_names() == DEFAULT + COUNTEREXAMPLES + CRASHES + structures
    assert sorted(path.stem for path in (ROOT / "scenarios" / "operations").glob("*.py")) == structures
    assert sorted(path.stem for path in (ROOT / "scenarios" / "crash").glob("*.py")) == sorted(CRASHES)
    assert names() == DEFAULT
    assert [found.name for found in find_scenarios([], crashes=True)] == DEFAULT + CRASHES
    assert (DEFAULT[0], COUNTEREXAMPLES[0]) == ("counter", "short_range")


def test_every_built_in_scenario_has_a_place_of_its_own() -> None:
    places = [(bool(kind.why), kind.order) for kind in CLASSES.values()]
    assert len(set(places)) == len(places)
    assert 0 not in {order for _, order in places}


def test_counterexamples_follow_the_default_set_with_their_fixes() -> None:
    found = names(counterexamples=True)
    assert found[: len(DEFAULT)] == DEFAULT
    assert [name for name in found[len(DEFAULT) :] if ":" not in name] == COUNTEREXAMPLES
    assert "check_then_lock:fixed" in found


def test_counterexamples_follow_what_was_named_and_are_not_repeated() -> None:
    found = names("bank", "short_range", counterexamples=True)
    assert found[:2] == ["bank", "short_range"]
    assert len(found) == len(set(found))
    assert set(COUNTEREXAMPLES) < set(found)


def test_a_counterexample_is_told_from_a_race_that_a_lock_fixes() -> None:
    assert [found.counterexample for found in find_scenarios(["counter", "check_then_lock"])] == [False, True, True]


def test_files_of_the_same_name_in_two_folders_are_two_scenarios(tmp_path: Path) -> None:
    found = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        path = written(tmp_path / folder / "same.py", f'"""In {folder}."""\n{dedent(MINE)}')
        found += find_scenarios([f"{path}"])[:1]
    assert [each.summary for each in found] == ["In one.", "In two."]
    assert found[0].kind is not found[1].kind


def test_a_file_named_like_a_built_in_scenario_leaves_that_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "counter.py", MINE)
    assert find_scenarios([str(path)])[0].summary == "What mine is about."
    assert find_scenarios(["counter"])[0].kind.__name__ == "Counter"


def told_of_an_unreadable_file() -> str:
    """What is said of a file without any permission, by somebody who is not root."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.py"
        path.write_text("")
        path.chmod(0)
        Path(folder).chmod(0o755)
        mine = os.geteuid()
        if mine == 0:
            os.seteuid(NOBODY)
        try:
            find_scenarios([str(path)])
        except UsageError as error:
            return str(error)
        finally:
            os.seteuid(mine)
    return "nothing"


def test_a_file_that_may_not_be_read_is_told() -> None:
    assert "Permission denied" in in_fresh_process(told_of_an_unreadable_file)


def test_an_installation_without_scenarios_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "__file__", str(tmp_path / "a" / "gallery.py"))
    with pytest.raises(CannotRunError, match="built-in scenarios are missing"):
        gallery.folder.__wrapped__()


@pytest.mark.parametrize("name", builtin_names())
def test_the_text_of_a_built_in_scenario_shows_what_loading_it_shows(name: str) -> None:
    found = find_scenarios([name])
    assert gallery.summaries(name) == {each.name: each.summary for each in found}
    if gallery.gallery()[name].set in (gallery.DEFAULT, gallery.COUNTEREXAMPLE):
        assert {each.counterexample for each in found} == {name in counterexample_names()}


LOOPS = "while True: pass\n"


def test_a_file_that_loops_while_it_is_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever imports a file of the user's: a scenario, a check of programs, a lock."""
    (tmp_path / "looping.py").write_text(LOOPS)
    said = in_fresh_process(loaded_with_a_limit, str(tmp_path))
    assert said == [
        f"{tmp_path}/looping.py: is still being imported after 0.2 s; fix the file",
        f"--check {tmp_path}/looping.py: is still being imported after 0.2 s; fix the file",
        "lock looping:make: is still being imported after 0.2 s; fix the file",
    ]


def loaded_with_a_limit(directory: str) -> list[str]:
    import sys

    from lab.locking import find_lock
    from lab.processes import deadlines
    from lab.racing.programs.check import PythonCheck

    deadlines.LOADING_S = 0.2
    sys.path.insert(0, directory)
    path = Path(directory) / "looping.py"
    said = []
    for load in (lambda: find_scenarios([str(path)]), lambda: PythonCheck(path), lambda: find_lock("looping:make")):
        try:
            load()
        except UsageError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("check_then_lock", "check_then_lock check_then_lock:fixed"),
        ("check_then_lock:fixed", "check_then_lock:fixed"),
        ("overlap bank", "overlap bank"),
        ("mine.py", "mine mine:fixed mine:also_fixed"),
        ("./mine.py:also_fixed", "mine:also_fixed"),
        ("mine.py:fixed bank", "mine:fixed bank"),
    ],
)
def test_scenarios_and_variants_are_found_by_name_and_by_path_in_the_order_asked_for(
    asked: str, found: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    assert names(*asked.split()) == found.split()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("countr", "unknown scenario 'countr'; did you mean counter?"),
        ("bank countr", "unknown scenario 'countr'; did you mean counter?"),
        ("ringqueue", "did you mean ring_queue?"),
        ("zzzzzzz", "unknown scenario 'zzzzzzz'; known: counter, torn_record, "),
        ("countr:fixed", "unknown scenario 'countr:fixed'; did you mean counter?"),
        ("check_then_lock:fixd", "unknown scenario 'check_then_lock:fixd'; did you mean check_then_lock:fixed?"),
        ("counter:fixed", "unknown scenario 'counter:fixed'; did you mean counter?"),
        ("mine", "unknown scenario 'mine'; did you mean mine.py?"),
        ("mine.py:zzzzzz", "unknown scenario 'mine.py:zzzzzz'; known: mine, mine:fixed, mine:also_fixed"),
        *(
            (name, ": no such scenario file; give a built-in name or the path")
            for name in ("missing.py", "folder.py", "folder/", "./bank")
        ),
    ],
)
def test_a_name_or_a_path_that_there_is_not_is_told_with_the_nearest(
    asked: str, said: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    for name in ("folder.py", "folder"):
        Path(name).mkdir()
    with pytest.raises(UsageError) as raised:
        find_scenarios(asked.split(), counterexamples=True)
    assert said in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"from lab import Scenario\n\nclass Mine(Scenario:\n", ":3: "),
        (b"x = '\xff'\n", ""),
        (b"x = 1\0\n", ""),
        (b"1 / 0", ": cannot be loaded: ZeroDivisionError: division by zero; fix"),
        (b"from lab import Scenario", ": holds no subclass of lab.Scenario"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line_with_its_place(
    content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        find_scenarios([str(path)])
    assert str(raised.value).startswith(f"{path}{said}")
    assert ":None:" not in str(raised.value)
    assert "\n" not in str(raised.value)


DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass
from lab import Scenario

@dataclass
class Note:
    author: int

class Mine(Scenario):
    pass
"""


@pytest.mark.parametrize(
    ("text", "summaries"),
    [
        (dedent(MINE), ["What mine is about.", "How it is fixed.", "(no docstring)"]),
        ('from lab import Scenario\nclass Mine(Scenario):\n    """A class."""\n', ["A class."]),
        ('""\nfrom lab import Scenario\nclass Mine(Scenario):\n    """A class."""\n', ["A class."]),
        ('"   "\nfrom lab import Scenario\nclass Mine(Scenario):\n    """A class."""\n', ["A class."]),
        ('from lab import Scenario\nclass Mine(Scenario):\n    """   """\n', ["(no docstring)"]),
        (
            "from lab import Scenario\nfrom lab.scenario.base import Scenario as Same\nclass Mine(Scenario): pass",
            ["(no docstring)"],
        ),
        (DATACLASS, ["(no docstring)"]),  # `dataclass` looks up the module of its class by name
    ],
    ids=["file and classes", "no docstring", "an empty one", "blanks", "blanks of a class", "imported", "dataclass"],
)
def test_a_file_is_summed_up_by_its_docstring_or_its_class_and_holds_its_own_classes_alone(
    text: str, summaries: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert [found.summary for found in find_scenarios([str(path)])] == summaries
