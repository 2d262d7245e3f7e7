"""What a wheel holds is enough: the built-in scenarios are found, and nothing needs a compiler."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import pytest

from tests.helpers import PATIENCE_S, ROOT

SOURCE = ("lab", "scenarios", "pyproject.toml", "README.md", "LICENSE", "docs/lab.1")
WITHOUT_CHECKOUT = """
import runpy, sys
sys.path[:] = [path for path in sys.path if path not in ("", {root!r})]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder)]
import lab
assert lab.__file__.startswith({site!r}), lab.__file__
sys.argv[0] = "lab"
runpy.run_module("lab", run_name="__main__", alter_sys=True)
"""


def run_pip(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """This interpreter's pip."""
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={**os.environ, **env}
    )


def pip(*args: str | Path, **env: str) -> None:
    """Run pip, which must not fail; skips where it cannot even get the build backend: no network, no registry."""
    done = run_pip(*args, **env)
    if done.returncode:
        with TemporaryDirectory() as folder:
            got = run_pip("download", "--no-deps", "--dest", folder, "setuptools")
        if got.returncode:
            pytest.skip(f"pip gets no setuptools to build with: {got.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def wheel(folder: Path, **env: str) -> Path:
    """A wheel built from a copy of the tree, as it would be from a clone."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    leave = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=leave)
        else:
            (copy / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    pip("wheel", "--no-deps", "--wheel-dir", folder, copy, **env)
    (made,) = folder.glob("*.whl")
    return made


def installed(made: Path) -> Path:
    """The folder that the wheel was installed into."""
    site = made.parent / "site"
    pip("install", "--no-deps", "--no-index", "--target", site, made)
    return site


def lab(site: Path, *args: str) -> str:
    """What the installed lab prints, run from another directory and with no checkout to import from."""
    elsewhere = site.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    script = WITHOUT_CHECKOUT.format(root=str(ROOT), site=str(site))
    done = subprocess.run(
        [sys.executable, "-c", script, *args],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.iterdir()) == []
    return done.stdout


def raced(site: Path) -> dict[str, Any]:
    """The document of a race by the installed lab."""
    made: dict[str, Any] = json.loads(lab(site, "race", "counter", "--rounds", "20", "--trials", "1", "--json", "-"))
    return made


def built_once(factory: pytest.TempPathFactory, name: str, **env: str) -> Path:
    """A wheel installed into a folder that all processes of this test run share: the first one builds it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            installed(wheel(folder, **env))
            (folder / "done").touch()
    return folder / "site"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_once(tmp_path_factory, "wheel")


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built where there is no compiler."""
    return built_once(tmp_path_factory, "wheel-without-compiler", CC="false")


def test_an_installed_lab_finds_the_built_in_scenarios(compiled: Path) -> None:
    listed = json.loads(lab(compiled, "list", "--json"))
    names = [entry["name"] for entry in listed if entry["group"].startswith(("scenarios", "counterexamples"))]
    assert sorted({name.partition(":")[0] for name in names}) == sorted(
        path.stem for path in (ROOT / "scenarios").glob("*.py")
    )


def test_an_installed_lab_races_from_any_directory(compiled: Path) -> None:
    assert [case["lock"] for case in raced(compiled)["cases"]] == ["none", "fcntl"]


def test_an_installed_lab_knows_its_version_and_offers_its_locks(compiled: Path) -> None:
    assert raced(compiled)["environment"]["lab"] == "0.1.0"
    locks = {
        entry["name"] for entry in json.loads(lab(compiled, "list", "--json")) if entry["group"].startswith("locks")
    }
    assert locks >= {"none", "fcntl", "ofd", "flock"}


def test_without_a_compiler_the_list_says_that_python_records(pure: Path) -> None:
    (entry,) = [each for each in json.loads(lab(pure, "list", "--json")) if each["group"] == "recorder of holds"]
    assert (entry["name"], entry["works"]) == ("python", True)
    assert "C compiler" in entry["summary"]


def test_a_wheel_holds_the_lab_and_nothing_else(compiled: Path) -> None:
    with ZipFile(next(compiled.parent.glob("*.whl"))) as made:
        names = made.namelist()
    data = [name for name in names if ".data/" in name]
    assert [name.partition(".data/")[2] for name in data] == ["data/share/man/man1/lab.1"]
    tops = {name.split("/")[0] for name in names if name not in data}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lab"}


def test_without_a_compiler_the_lab_is_built_all_the_same_and_python_records(pure: Path) -> None:
    assert list(pure.rglob("*.so")) == []
    made = raced(pure)
    assert made["environment"]["recorder"] == "python"
    assert made["cases"][1]["holds"] == 80


@pytest.mark.needs("headers")
def test_with_a_compiler_the_recorder_is_compiled_once_for_every_python(compiled: Path) -> None:
    assert raced(compiled)["environment"]["recorder"] == "compiled"
    assert [each.name for each in compiled.rglob("*.so")] == ["_native.abi3.so"]
    (made,) = compiled.parent.glob("*.whl")
    assert "-cp311-abi3-" in made.name


def test_lab_pure_has_python_record_though_it_is_compiled(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PURE", "1")
    assert raced(compiled)["environment"]["recorder"] == "python"
    assert "  python" in lab(compiled, "list")
    assert "LAB_PURE" in lab(compiled, "list")


@pytest.mark.needs("headers")
def test_the_extension_compiles_without_a_warning(tmp_path: Path) -> None:
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
    sources = [str(ROOT / "lab" / name) for name in ("locking/_native.c", "racing/_recorder.c")]
    done = subprocess.run(
        [*command, *sources, "-o", str(tmp_path / "native.so")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
