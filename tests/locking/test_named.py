from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.locking import find_lock

PLACE = "tests.locking.theirs"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which modules are imported."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("attribute", ["Switch", "Door", "tunnel", "Switch.acquire"])
def test_what_can_be_called_is_a_factory_and_goes_by_its_place(attribute: str) -> None:
    assert find_lock(f"{PLACE}:{attribute}").name == f"{PLACE}:{attribute}"


def test_a_class_of_the_lab_s_own_kind_is_made() -> None:
    assert find_lock("lab.locking.kernel:Ofd").name == "ofd"


@pytest.mark.parametrize(("keywords", "name"), [("", "own_locks:mine"), (", name='chosen'", "chosen")])
def test_an_adapted_lock_keeps_the_name_that_it_was_given(keywords: str, name: str, modules: Path) -> None:
    modules.joinpath("own_locks.py").write_text(
        f"from lab.locking import adapt\nmine = adapt(lambda path: open(path){keywords})\n"
    )
    assert find_lock("own_locks:mine").name == name
    __import__("sys").modules.pop("own_locks")


@pytest.mark.parametrize("attribute", ["MADE", "ENTERED"])
def test_an_object_made_before_the_fork_is_refused_with_what_to_give(attribute: str) -> None:
    with pytest.raises(UsageError, match="made before the fork, and all workers would share it; give a function"):
        find_lock(f"{PLACE}:{attribute}")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"{PLACE}:TEXT", "is a str, which cannot be called; give a function"),
        (f"{PLACE}:Missing", r"cannot be loaded \(module 'tests.locking.theirs' has no attribute 'Missing'\)"),
        ("no_such_module:x", "no module no_such_module is found; start where it lies, or set PYTHONPATH"),
        ("tests.no_such:x", "no module tests.no_such is found"),
        ("./file.py:x", "names no attribute of a module; give it as my_module:make_lock"),
        ("tests:", "names no attribute of a module"),
        (":x", "names no attribute of a module"),
    ],
)
def test_a_place_that_leads_to_no_lock_is_told_with_the_next_step(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as raised:
        find_lock(name)
    assert str(raised.value).startswith(f"lock {name}: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_library", r"needs a module that is missing \(No module named 'no_such_library'\); install it"),
        ("raise ValueError('bad day')", "raised ValueError: bad day; fix it"),
        ("raise SystemExit(0)", "raised SystemExit: 0; fix it"),
        ("def (", "raised SyntaxError: "),
        ("class Lock:\n    actions = 1\n    def __init__(self, more): pass", "cannot be made .TypeError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_the_cause(text: str, told: str, modules: Path) -> None:
    modules.joinpath("bad_locks.py").write_text(text)
    with pytest.raises(UsageError, match=told):
        find_lock("bad_locks:Lock")
    __import__("sys").modules.pop("bad_locks", None)
