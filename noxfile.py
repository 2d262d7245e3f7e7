"""Sessions of nox (https://nox.thea.codes): `nox -s quick` while you work, `nox -s lint tests` before you push.

`nox --list` tells what each does. `.ci/run` needs no nox: it runs what `lint`, `js`, `docs` and `tests` run, and more.
"""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

MADE_DOCS = ("docs.draw_layers", "docs.make_api", "docs.make_man")
"""Modules that write a page of docs/ from the code."""


def pytest(session: nox.Session, *arguments: str, **environment: str) -> None:
    """Install the lab with what its tests need, and run pytest."""
    session.install("-e", ".[test,docs,release]")
    session.run("python", "-m", "pytest", *arguments, env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, mypy and the import layers."""
    session.install("-e", ".[test,docs]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python=False)
def js(session: nox.Session) -> None:
    """The linter of the page's JavaScript; needs node and npm."""
    session.run("bash", ".ci/eslint", external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, or those that are named behind `--`."""
    pytest(session, "-n", "auto", "--dist", "worksteal", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """The tests that start no process, mount nothing, compile nothing and open no browser; under a minute."""
    pytest(session, "-n", "auto", "-m", "quick", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write the pages that are made from the code again, build the site (build/site), and test the documents."""
    session.install("-e", ".[test,docs]")
    for module in MADE_DOCS:
        session.run("python", "-m", module)
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-c", "docs/site", ".", "build/site")
    named = [f"tests/test_{name}.py" for name in ("docs", "made_docs", "site", "ci_files")]
    session.run("python", "-m", "pytest", *named, *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the wheels of a release into dist/; needs a C compiler and Python's headers."""
    session.install("-e", ".[release]")
    session.run("bash", ".ci/wheels", *(session.posargs or ["dist"]), external=True, env={"PYTHON": "python"})


@nox.session
def bench(session: nox.Session) -> None:
    """How fast the race and the explorer are, as ratios of one run; on a quiet machine."""
    session.install("-e", ".[test,docs]")
    for name in session.posargs or ["race", "explore"]:
        session.run("python", "-m", f"tests.benchmarks.{name}", "speed")


@nox.session
def faults(session: nox.Session) -> None:
    """Every call of a small run of each command fails once, at each of its calls; hours: `-- --most 3` takes a part."""
    session.install("-e", ".[test,docs]")
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def hangs(session: nox.Session) -> None:
    """A check of a mount that stops answering at each of its requests; as root, hours: `-- --every 19` takes a part."""
    session.install("-e", ".[test,docs]")
    session.run("python", "-m", "tests.checking.hangs", *session.posargs)


@nox.session
def documents(session: nox.Session) -> None:
    """Each command on documents, and in folders, that were changed in every way; a part of `exhaustive`."""
    named = session.posargs or ["tests/records/test_untrusted.py", "tests/test_exchanged_folder.py"]
    pytest(session, *named, LAB_EXHAUSTIVE="1")


@nox.session
def exhaustive(session: nox.Session) -> None:
    """The tests that by default try a sample of many inputs try all of them."""
    pytest(session, *session.posargs, LAB_EXHAUSTIVE="1")
