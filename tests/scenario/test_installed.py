from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.scenario import find, find_installed, find_scenarios, installed_names
from tests.helpers import PATIENCE_S
from tests.scenario.packages import package

HEAVY = {"importlib.metadata", "random"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages can be installed into, forgotten afterwards."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    forget()
    yield folder
    forget()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def forget() -> None:
    find._offered.cache_clear()
    find.load_installed.cache_clear()


def offer(site: Path, name: str, place: str, modules: Mapping[str, str] | None = None) -> None:
    package(site, {name: place}, modules)


def refusal(name: str) -> str:
    """The one line that is said of this name."""
    with pytest.raises(UsageError) as raised:
        find_scenarios([name])
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_class_may_lie_in_another_module_than_its_entry_point_names(site: Path) -> None:
    modules = {"front": "from back import Shop", "back": "from lab import Scenario\nclass Shop(Scenario): pass"}
    offer(site, "shop", "front:Shop", modules)
    assert find_scenarios(["shop"])[0].path == site / "back.py"


def test_a_built_in_name_wins_and_says_so(site: Path) -> None:
    offer(site, "counter", "shops:Shop")
    assert find_scenarios(["counter"])[0].kind.__name__ == "Counter"
    with pytest.raises(UsageError, match="scenario counter: a built-in one has this name and wins; rename"):
        find_installed("counter")


@pytest.mark.parametrize("name", ["shop.py", "a/shop", "shop:x"])
def test_a_name_that_cannot_be_asked_for_is_told(name: str, site: Path) -> None:
    offer(site, name, "shops:Shop")
    with pytest.raises(UsageError, match="no name to ask for; rename the entry point"):
        find_installed(name)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("missing", "missing cannot be loaded (ModuleNotFoundError: No module named 'missing'); fix or reinstall"),
        ("shops:Shp", "shops:Shp cannot be loaded (AttributeError: "),
        ("not a place", "not a place cannot be loaded ("),
        ("shops:Structure", "shops:Structure is no subclass of lab.Scenario; name a class or a module of them"),
        ("raising", "raising cannot be loaded (ValueError: two lines); fix or reinstall the package it is in"),
        ("leaving", "leaving cannot be loaded (SystemExit: 3)"),
        ("wrong", "wrong cannot be loaded (SyntaxError: "),
        ("front", "front defines no subclass of lab.Scenario; name the class, module:Class"),
    ],
)
def test_what_does_not_load_is_told_in_one_line(place: str, said: str, site: Path) -> None:
    modules = {
        "shops": "from ctypes import Structure",
        "raising": "raise ValueError('two\\nlines')",
        "leaving": "raise SystemExit(3)",
        "wrong": "class",
        "front": "from lab import Scenario",
    }
    offer(site, "shop", place, modules)
    assert refusal("shop").startswith(f"scenario shop: {said}")


def test_a_name_that_two_packages_offer_is_refused_with_both(site: Path) -> None:
    package(site, {"shop": "shops:Shop"})
    package(site, {"shop": "shops:Other"}, name="others")
    assert installed_names() == ["shop"]
    assert refusal("shop") == (
        "scenario shop: several packages offer it (shops:Other, shops:Shop); uninstall all but one"
    )


FINDING = """
import sys
from lab.scenario import find_scenarios
for found in find_scenarios(sys.argv[1:]):
    found.check_world("race")
print(*sys.modules)
"""


def imported(*names: str | Path) -> set[str]:
    """The modules of a bare interpreter that has found these scenarios."""
    command = [sys.executable, "-c", FINDING, *map(str, names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_nobody_asks_for_packages_where_only_built_ins_and_files_are_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from lab import Scenario\nclass Mine(Scenario): layout = work = check = lambda *_: None\n")
    assert imported("counter", "bank", "check_then_lock:fixed", mine) & HEAVY == set()
    assert imported() & HEAVY == set()


def test_packages_are_asked_for_a_name_that_no_built_in_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in package(tmp_path / "site", {"shop": "shops:Shop"}).items():
        monkeypatch.setenv(name, value)
    assert imported("shop") >= HEAVY


def test_a_class_is_found_with_its_variants_alone_and_a_module_with_all_its_classes(site: Path) -> None:
    package(site, {"shop": "shops:Shop", "all_shops": "shops"})
    assert [(found.name, found.kind.__name__, found.summary) for found in find_scenarios(["shop", "all_shops"])] == [
        ("shop", "Shop", "Sell one."),
        ("shop:fixed", "Fixed", "Fixed by nothing."),
        ("all_shops", "Shop", "Shops."),
        ("all_shops:other", "Other", "Not of the same family."),
        ("all_shops:fixed", "Fixed", "Fixed by nothing."),
    ]
    (found,) = find_scenarios(["shop:fixed"])
    assert (found.kind.__name__, found.installed, found.path) == ("Fixed", True, site / "shops.py")
    assert not any(found.installed for found in find_scenarios([], counterexamples=True))
    assert refusal("shp") == "unknown scenario 'shp'; did you mean shop?"
    assert refusal("shop:curd") == "unknown scenario 'shop:curd'; did you mean shop:fixed?"
