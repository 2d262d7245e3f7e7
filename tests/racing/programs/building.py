"""The programs of the tests: one in C, built where a compiler is found, and check files."""

from __future__ import annotations

import subprocess
from pathlib import Path
from textwrap import dedent

from tests.helpers import PATIENCE_S
from tests.needs import need

SOURCE = Path(__file__).with_name("add.c")

COUNTER = """
from lab import Damage

def prepare(path):
    path.write_bytes(bytes(8))

def check(path, outcome):
    value = int.from_bytes(path.read_bytes(), "little")
    return Damage("lost update", outcome.rounds - value, outcome.rounds, [f"value is {value}"])
"""


def built(folder: Path) -> Path:
    """The program `add`, in this folder; skips where there is no C compiler."""
    need("compiler")
    program = folder / "add"
    command = ["cc", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    return program


def written(path: Path, text: str) -> Path:
    """A file with this text, its margin taken off; one that begins with #! may be run."""
    path.write_text(dedent(text).lstrip("\n"))
    if path.read_text().startswith("#!"):
        path.chmod(0o755)
    return path
