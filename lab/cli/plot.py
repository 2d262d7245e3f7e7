"""Draw what a run measured: how locks scale, how long they were waited for, who held them when, whose bytes lie where.

A document of `bench` has the first three, one of `race --record N` the last two, the bytes where a trial was damaged.
All that it has are drawn one below the other, of the cases with the most workers; --picture draws one, of all cases.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import CannotRunError, UsageError
from lab.output import complain, print_text

from .documents import Target

if TYPE_CHECKING:
    from lab.records import Document

KINDS = ("svg", "png", "pdf")
PICTURES = ("scaling", "waits", "holds", "bytes")
MOST_PANELS = 256
BENCH, RACE = "`lab bench --json PATH`", "`lab race --record 400 --json PATH`"
MAKES = {"scaling": BENCH, "waits": BENCH, "holds": f"{BENCH} or {RACE}", "bytes": f"{RACE}, where a trial is damaged"}
"""The command whose document has the data of each picture."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `plot`."""
    add = parser.add_argument
    add("results", type=Path, metavar="RUN.json", help="a document that `bench` or `race --record` wrote")
    add(
        "-o", "--output", type=picture_path, required=True, metavar="PATH",
        help="what to write; its ending says as what: .svg, .png or .pdf",
    )  # fmt: skip
    add("--picture", choices=PICTURES, help="draw only this one, of all cases (all, of those with most workers)")


def picture_path(text: str) -> Path:
    """Read the name of a file whose ending is one of KINDS."""
    path = Path(text)
    if path.suffix[1:].lower() not in KINDS:
        known = ", ".join(f".{kind}" for kind in KINDS)
        raise argparse.ArgumentTypeError(f"{text!r} does not end in what can be written: {known}")
    return path


def run(arguments: argparse.Namespace) -> int:
    """Open the target, read, draw, write it."""
    from lab.records import load_any, untrusted

    _require_matplotlib()
    target = Target.open(arguments.output, "give another -o PATH")
    try:
        document = load_any(arguments.results)
        with untrusted(arguments.results):
            picture = _drawing(document, arguments.results, arguments.picture, arguments.output.suffix[1:].lower())
            left_out = _left_out(document)
        _put(target, picture)
    finally:
        target.discard()
    complain(*left_out)
    print_text(f"written to {target.path}")
    return 0


def _drawing(document: Document, path: Path, picture: str | None, kind: str) -> bytes:
    """Return the pictures as a file of this kind; raise UsageError if the document has none, or not the one wanted."""
    from lab.report.plots.figure import Drawable, draw, pictures

    found = pictures(document, every=picture is not None) if isinstance(document, Drawable) else {}
    if not isinstance(document, Drawable) or not found:
        raise UsageError(f"{path}: has nothing to draw; make one that has with {MAKES['holds']}")
    if picture and picture not in found:
        raise UsageError(
            f"{path}: has no {picture} to draw, only {', '.join(found)}; make one that has with {MAKES[picture]}"
        )
    wanted = [found[picture]] if picture else list(found.values())
    panels = sum(len(each.panels) for each in wanted)
    if panels > MOST_PANELS:
        raise UsageError(
            f"{path}: has {panels:,} panels to draw, at most {MOST_PANELS} fit a picture; race fewer cases"
        )
    return draw(document, wanted, kind)


def _put(target: Target, content: bytes) -> None:
    try:
        target.put(content)
    except OSError as error:
        raise CannotRunError(f"{target.path}: not written ({error.strerror}); make room, or give another -o") from error


def _left_out(document: Document) -> list[str]:
    from lab.report.plots.figure import left_out

    return left_out(document)


def _require_matplotlib() -> None:
    """Raise CannotRunError, with what to install, where matplotlib is missing or broken.

    matplotlib keeps what it knows of the fonts in the user's home, or in a temporary folder where the home cannot be
    written.
    """
    import logging

    logging.getLogger("matplotlib").setLevel(logging.CRITICAL)  # it would report that folder
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name == "matplotlib":
            raise CannotRunError("plot needs matplotlib: pip install 'lock-race-lab[plot]'") from error
        raise _broken(error) from error
    except OSError as error:
        raise CannotRunError(f"plot: {error}; set MPLCONFIGDIR to a folder that can be written") from error
    except Exception as error:
        raise _broken(error) from error


def _broken(error: Exception) -> CannotRunError:
    message = f"{type(error).__name__}: {error}"
    reinstall = "pip install --force-reinstall 'lock-race-lab[plot]'"
    return CannotRunError(f"plot needs matplotlib, which cannot be imported ({message}); reinstall it: {reinstall}")
