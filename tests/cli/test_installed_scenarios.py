"""Scenarios of installed packages, by name, in every command that takes one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import QUICK, lines
from tests.helpers import run_lab
from tests.scenario.packages import SHOP, package

GROUP = "scenarios of installed packages (by name)"


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """The environment in which a package offers the scenario `shop`."""
    return package(tmp_path / "site", {"shop": "shops:Shop"})


def made(*args: str | Path, env: dict[str, str]) -> dict[str, Any]:
    """The document of a command that ends well."""
    done = run_lab(*args, "--json", "-", env=env)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_file_of_the_same_name_goes_by_its_path(shop: dict[str, str], elsewhere: Path) -> None:
    (elsewhere / "shop.py").write_text(SHOP)
    cases = made("explore", "shop.py:fixed", "--unlocked", env=shop)["cases"]
    assert cases[0]["token"].split(",")[1] == "shop.py:fixed"


def test_it_is_on_the_page_to_be_played(shop: dict[str, str], elsewhere: Path) -> None:
    done = run_lab("page", "--scenario", "shop", env=shop)
    assert (done.returncode, done.stderr) == (0, "")


def listed(env: dict[str, str]) -> list[dict[str, Any]]:
    done = run_lab("list", "--json", "-", env=env)
    assert done.returncode == 0, done.stderr
    return [entry for entry in json.loads(done.stdout) if entry["group"] == GROUP]


def test_it_is_listed_in_a_group_of_its_own_between_the_counterexamples_and_the_locks(shop: dict[str, str]) -> None:
    assert [(entry["name"], entry["summary"]) for entry in listed(shop)] == [
        ("shop", "Sell one."), ("shop:fixed", "Fixed by nothing."),
    ]  # fmt: skip
    headings = [line for line in lines(run_lab("list", env=shop).stdout) if not line.startswith(" ")]
    assert [heading.split()[0] for heading in headings] == [
        "scenarios", "counterexamples", "scenarios", "scenarios", "scenarios", "locks", "locks", "backings", "recorder",
    ]  # fmt: skip
    assert headings[4] == GROUP


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("shop", "shops:Shp", "scenario shop: shops:Shp cannot be loaded (AttributeError: "),
        ("counter", "shops:Shop", "scenario counter: a built-in one has this name and wins; rename the entry point"),
    ],
)
def test_one_that_cannot_be_used_is_listed_with_one_line_of_why(
    name: str, place: str, said: str, tmp_path: Path
) -> None:
    env = package(tmp_path / "site", {name: place, "good": "shops:Shop"})
    (troubled,) = [entry for entry in listed(env) if not entry["works"]]
    assert troubled["name"] == name
    assert troubled["trouble"].startswith(said)
    assert "\n" not in troubled["trouble"]
    assert len(listed(env)) == 3


@pytest.mark.parametrize("command", ["race", "explore"])
def test_one_that_does_not_load_is_told_by_a_command_that_needs_it(command: str, tmp_path: Path) -> None:
    done = run_lab(command, "shop", env=package(tmp_path / "site", {"shop": "nowhere:Shop"}))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "lab: scenario shop: nowhere:Shop cannot be loaded (ModuleNotFoundError: No module named 'nowhere'); "
        "fix or reinstall the package it is in\n"
    )


def test_it_is_raced_and_explored_by_its_name_with_its_variants(shop: dict[str, str]) -> None:
    run = made("race", "shop", "--locked", *QUICK, "--no-save", env=shop)
    assert [(case["scenario"], case["operations"]) for case in run["cases"]] == [("shop", 40), ("shop:fixed", 40)]
    cases = made("explore", "shop", env=shop)["cases"]
    assert [(case["scenario"], case["lock"], case["verdict"]) for case in cases] == [
        (name, lock, verdict)
        for name in ("shop", "shop:fixed")
        for lock, verdict in (("none", "broken"), ("fcntl", "holds"))
    ]
    run = made("race", "--locked", *QUICK, "--no-save", env=shop)
    assert len(run["cases"]) == 9
    assert "shop" not in [case["scenario"] for case in run["cases"]]


def test_its_tokens_name_it_and_are_replayed_until_the_package_has_changed_or_is_gone(
    shop: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [case["token"] for case in made("explore", "shop", "--unlocked", env=shop)["cases"]]
    assert [token.split(",")[1] for token in tokens] == ["shop", "shop:fixed"]
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(tmp_path / "far")
    for token in tokens:
        assert made("replay", token, "--times", "3", env=shop)["reproduced"] == 3
    gone = run_lab("replay", tokens[0])
    assert (gone.returncode, gone.stderr.startswith("lab: unknown scenario 'shop'; ")) == (2, True)
    (tmp_path / "site" / "shops.py").write_text(SHOP.replace("sold += 1", "sold += 2"))
    changed = run_lab("replay", tokens[0], env=shop)
    assert changed.returncode == 2
    assert "scenario shop has changed since the token was made" in changed.stderr
