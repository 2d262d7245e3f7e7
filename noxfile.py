"""Sessions of nox (https://nox.thea.codes): `nox -s lint`, `nox -s tests`, and the whole of what the tests sample.

`.ci/run` needs none of them: it does the same as `lint` and `tests`, and what goes with them.
"""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, mypy and the import layers."""
    session.install("-e", ".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, or those that are named behind `--`."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "auto", "--dist", "worksteal", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Every call of a small run of each command fails once, at each of its calls; hours: `-- --most 3` takes a part."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def hangs(session: nox.Session) -> None:
    """A check of a mount that stops answering at each of its requests; as root, hours: `-- --every 19` takes a part."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.check.hangs", *session.posargs)


@nox.session
def documents(session: nox.Session) -> None:
    """Each command on documents, and in folders, that were changed in every way; a part of `exhaustive`."""
    session.install("-e", ".[test]")
    tests = session.posargs or ["tests/records/test_untrusted.py", "tests/test_exchanged_folder.py"]
    session.run("python", "-m", "pytest", *tests, env={"LAB_EXHAUSTIVE": "1"})


@nox.session
def exhaustive(session: nox.Session) -> None:
    """The tests that by default try a sample of many inputs try all of them."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs, env={"LAB_EXHAUSTIVE": "1"})
