"""The pages of docs/ as a reader would type them: their fenced blocks, one after the other, in one folder.

    ```python file=journal.py     the text is written to that file; any language
    ```console                    each line behind "$ " is typed, and must end with 0; what follows is its output,
                                  stdout and stderr as they come; with nothing there any output will do

Shown and printed output are compared without regard to figures, units of time, the width of columns, where lines are
folded and blank lines. "..." in a line stands for any text, as a line of its own for any lines. `python` is this
interpreter, `lab` its command, and `pip install FOLDER` a stand-in that needs no registry. A block that cannot be run
has `<!-- not run: the reason -->` on the line above it; any other kind of block is an error.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from lab.cli.main import whole_parser
from lab.errors import UsageError
from tests.helpers import PATIENCE_S, ROOT

FENCE = re.compile(r"^(?P<above>.*)\n```(?P<info>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
CALL = re.compile(r"^(?:\$ )?((?:python -m )?lab [a-z-].*)$", re.MULTILINE)
MACHINE = r"\b(L\d,\S+?,\d+x\d+,)\d+,(\S+),[0-9a-f]{4}\b"
"""A token names the widest move of the machine that made it, and ends with a checksum of all that it says."""

FIGURES = [(MACHINE, r"\1*,\2,*"), (r"\d[\d,.]*", "#"), (r"# (ns|us|ms|s)\b", "# s"), (r"-{2,}", "--"), (r"\s+", " ")]
STAND_INS = {"python": '"$PYTHON" "$@"', "pip": '"$PYTHON" "$STAND_IN" "$@"'}


class Block(NamedTuple):
    """What stands between two fences: the info string behind the first, the text, and the line of that fence."""

    info: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """The file that the text is written to; empty where it is none."""
        return self.info.partition("file=")[2]


class Typed(NamedTuple):
    """A command, and the lines that the page shows behind it."""

    command: str
    shown: list[str]


def blocks(page: str) -> Iterator[Block]:
    """All blocks that are to be run, in the order of the page."""
    for found in FENCE.finditer("\n" + page):
        if not NOT_RUN.fullmatch(found["above"]):
            yield Block(found["info"], found["text"], page.count("\n", 0, found.start("text") - 1))


def typed(block: Block) -> Iterator[Typed]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield Typed(command, shown)


def calls_of(page: str) -> Iterator[str]:
    """All lines of a page's blocks that call the lab, those that are not run too."""
    for found in FENCE.finditer("\n" + page):
        if found["info"] in ("", "sh", "console"):
            for call in CALL.findall(found["text"]):
                yield call if found["info"] else re.split(r" {2,}", call)[0]  # what follows there is an explanation


def is_accepted(line: str) -> bool:
    """Return True where the lab's parser accepts the first command of this line of a shell."""
    lexer = shlex.shlex(line.removeprefix("python -m "), posix=True, punctuation_chars=";&|>")
    lexer.whitespace_split = True
    given = list(takewhile(lambda word: not set(word) <= set(";&|>"), lexer))[1:]
    if given[-1:] in (["1"], ["2"]) and ">" in line:
        given.pop()  # the descriptor of a redirection
    if given[0] == "help":
        given = [*given[1:], "--help"]
    try:
        whole_parser().parse_args(given)
    except SystemExit as ended:  # --help, --version
        return not ended.code
    except UsageError:
        return False
    return True


def run_page(page: Path, folder: Path) -> None:
    """Do what the page says in this folder, where an earlier page may have left its files.

    Raises AssertionError with the block's line where it is not so.
    """
    environment = _environment(folder)
    place = folder / "typed"
    place.mkdir(exist_ok=True)
    for block in blocks(page.read_text()):
        where = f"{page.name}:{block.line}"
        if block.file:
            (place / block.file).parent.mkdir(parents=True, exist_ok=True)
            (place / block.file).write_text(block.text)
        else:
            kind = block.info or "no kind"
            assert kind == "console", f"{where}: a block of {kind}: what is to be done with it?"
            for each in typed(block):
                _type(each, place, environment, where)


def differs(shown: list[str], printed: str) -> bool:
    """True where the output is not what the page shows, figures and widths aside."""
    wanted = "".join(map(_pattern, filter(str.strip, shown)))
    return re.fullmatch(wanted, f"{_plain(printed)} ") is None


def _type(each: Typed, place: Path, environment: dict[str, str], where: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", each.command],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3 * PATIENCE_S,  # a page shows real measurements: 11 s of one alone are a minute on a busy machine
        check=False,
    )
    assert done.returncode == 0, f"{where}: `{each.command}` ended with {done.returncode}:\n{done.stdout}"
    if each.shown:
        shown = "\n".join(each.shown)
        assert not differs(each.shown, done.stdout), f"{where}: `{each.command}` prints\n{done.stdout}\nnot\n{shown}"


def _plain(line: str) -> str:
    for pattern, instead in FIGURES:
        line = re.sub(pattern, instead, line)
    return line.strip()


def _pattern(line: str) -> str:
    if line.strip() == "...":
        return "(?:.* )??"
    return ".*".join(re.escape(_plain(part)) for part in line.split("...")) + " "


def _environment(folder: Path) -> dict[str, str]:
    """One in which `python` and `pip` are ours, and what pip installs is found."""
    programs, site = folder / "bin", folder / "site"
    programs.mkdir(exist_ok=True)
    for name, does in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\nexec {does}\n")
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])),
        "PYTHON": sys.executable,
        "STAND_IN": str(ROOT / "tests" / "stand_in_pip.py"),
        "SITE": str(site),
    }
