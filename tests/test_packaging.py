"""What a wheel holds is enough: the built-in scenarios are found, and nothing needs a compiler."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import pytest

from lab.compiled import load_compiled
from tests.helpers import PATIENCE_S, ROOT
from tests.needs import missing

pytestmark = pytest.mark.timeout(300)  # wheels are built, in environments that pip makes anew

SOURCE = ("lab", "scenarios", "pyproject.toml", "README.md", "LICENSE", "docs/lab.1")


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
    """A new virtual environment with this wheel; the packages that it depends on are those of this interpreter."""
    place = made.parent / "venv"
    venv.create(place)
    pip("--python", place / "bin" / "python", "install", "--no-deps", "--no-index", made)
    (site,) = place.glob("lib/python*/site-packages")
    # Only a folder on the path: what a .pth file in it would add, such as the checkout, stays out.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return place


def lab(place: Path, *args: str) -> str:
    """What the installed lab prints, run from an empty folder."""
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [place / "bin" / "lab", *args],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=elsewhere,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.iterdir()) == []
    return done.stdout


def raced(site: Path) -> dict[str, Any]:
    """The document of a race by the installed lab."""
    made: dict[str, Any] = json.loads(lab(site, "race", "counter", "--rounds", "20", "--trials", "1", "--json", "-"))
    return made


def release(folder: Path) -> None:
    """Build the two wheels of a release, each into a folder of its own."""
    command = ["bash", str(ROOT / ".ci" / "wheels"), str(folder)]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for name, tags in (("compiled", "*-abi3-*"), ("pure", "*-none-any*")):
        (folder / name).mkdir()
        (made,) = folder.glob(f"{tags}.whl")
        made.rename(folder / name / made.name)


def built_once(factory: pytest.TempPathFactory, name: str, **env: str) -> Path:
    """An environment with a wheel, which all processes of this test run share: the first one builds it.

    It is the wheel of a release where all is there that one takes, else what pip builds here.
    """
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheels"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not missing("release") and not (folder / name).exists():
            release(folder)
        (folder / name).mkdir(exist_ok=True)
        if not (folder / name / "done").exists():
            made = next((folder / name).glob("*.whl"), None)
            installed(made or wheel(folder / name, **env))
            (folder / name / "done").touch()
    return folder / name / "venv"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_once(tmp_path_factory, "compiled")


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built where there is no compiler."""
    return built_once(tmp_path_factory, "pure", CC="false")


def test_an_installed_lab_finds_the_built_in_scenarios(compiled: Path) -> None:
    listed = json.loads(lab(compiled, "list", "--json", "-"))
    names = [entry["name"] for entry in listed if entry["group"].startswith(("scenarios", "counterexamples"))]
    assert sorted({name.partition(":")[0] for name in names}) == sorted(
        path.stem for path in (ROOT / "scenarios").rglob("*.py")
    )


def test_an_installed_lab_races_from_any_directory(compiled: Path) -> None:
    assert [case["lock"] for case in raced(compiled)["cases"]] == ["none", "fcntl"]


def test_an_installed_lab_knows_its_version_and_offers_its_locks(compiled: Path) -> None:
    assert raced(compiled)["environment"]["lab"] == "0.1.0"
    locks = {
        entry["name"]
        for entry in json.loads(lab(compiled, "list", "--json", "-"))
        if entry["group"].startswith("locks")
    }
    assert locks >= {"none", "fcntl", "ofd", "flock"}


def test_without_a_compiler_the_list_says_that_python_records(pure: Path) -> None:
    (entry,) = [each for each in json.loads(lab(pure, "list", "--json", "-")) if each["group"] == "recorder of holds"]
    assert (entry["name"], entry["works"]) == ("python", True)
    assert "C compiler" in entry["summary"]


def test_a_wheel_holds_the_lab_and_nothing_else(compiled: Path) -> None:
    with ZipFile(next(compiled.parent.glob("*.whl"))) as made:
        names = [name for name in made.namelist() if not name.endswith("/")]
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
    assert sorted(each.name for each in compiled.rglob("*.so")) == [
        "_crowd.abi3.so",
        "_native.abi3.so",
        "_search.abi3.so",
        "_walk.abi3.so",
        "_watch.abi3.so",
    ]
    (made,) = compiled.parent.glob("*.whl")
    assert "-cp311-abi3-" in made.name


@pytest.mark.needs("release")
def test_a_release_has_a_wheel_for_every_python_on_this_kind_of_machine_and_one_for_all(
    compiled: Path, pure: Path
) -> None:
    names = [made.name for folder in (compiled, pure) for made in folder.parent.glob("*.whl")]
    version = raced(compiled)["environment"]["lab"]
    assert re.fullmatch(rf"lock_race_lab-{version}-cp311-abi3-manylinux_2_\d+_\w+\.whl", names[0])
    assert names[1:] == [f"lock_race_lab-{version}-py3-none-any.whl"]


def test_lab_pure_has_python_record_though_it_is_compiled(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PURE", "1")
    assert raced(compiled)["environment"]["recorder"] == "python"
    assert "  python" in lab(compiled, "list")
    assert "LAB_PURE" in lab(compiled, "list")


def test_a_part_that_was_built_of_older_sources_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    older = ModuleType("older")
    older.known = 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "older", older)
    monkeypatch.setenv("LAB_PURE", "0")
    assert load_compiled("older", "known") is older
    with pytest.raises(ImportError, match="older was built of other sources, without added; install the lab again"):
        load_compiled("older", "known", "added")


@pytest.mark.needs("headers")
@pytest.mark.parametrize(
    "sources",
    [
        ("locking/_native.c", "racing/_recorder.c", "racing/_calls.c"),
        ("watching/_*.c",),
        ("histories/_search.c",),
        ("memory/_mapped.c", "processes/_crowd.c"),
        ("exploring/_*.c",),
    ],
)
def test_an_extension_compiles_without_a_warning(tmp_path: Path, sources: tuple[str, ...]) -> None:
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}"]
    done = subprocess.run(
        [*command, *(str(each) for name in sources for each in (ROOT / "lab").glob(name)), "-o", str(tmp_path / "so")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
