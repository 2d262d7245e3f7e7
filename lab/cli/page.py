"""Write the page: the tutorial on mapped files to play with, as one file that works offline, and a run shown in it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.api.values import path_or_dash
from lab.output import complain, print_text

if TYPE_CHECKING:
    from lab.records import Plays, Run
    from lab.scenario import Found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `page`."""
    add = parser.add_argument
    add(
        "results",
        nargs="?",
        type=Path,
        metavar="RESULTS",
        help="a document that `race` wrote, to show that run too; or one of `watch`: a page of its own",
    )
    add("-o", "--output", type=path_or_dash, default="lab.html", metavar="PATH", help="(lab.html); - prints the page")
    add(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|PATH",
        help="also let the reader schedule this one; repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    """Open the target, read, make the page, write it."""
    from lab.errors import CannotRunError

    from .documents import Target, print_bytes

    if arguments.output == "-":
        print_bytes(_page(arguments))
        return 0
    target = Target.open(Path(arguments.output), "give another -o PATH")
    try:
        target.put(_page(arguments))
    except OSError as error:
        raise CannotRunError(f"{target.path}: not written ({error.strerror}); make room, or give another -o") from error
    finally:
        target.discard()
    print_text(f"written to {target.path}; open it in a browser")
    return 0


def _page(arguments: argparse.Namespace) -> bytes:
    from lab.records import Watch, load, load_any, untrusted
    from lab.scenario import find_scenarios

    scenarios = find_scenarios(arguments.scenario) if arguments.scenario else []
    if not arguments.results:
        return render_page(None, scenarios)
    document = load_any(arguments.results)
    if isinstance(document, Watch):
        from lab.report.page.watch import watch_page

        with untrusted(arguments.results):
            return watch_page(document)
    run = load(arguments.results)
    with untrusted(arguments.results):
        return render_page(run, scenarios)


def render_page(run: Run | None = None, scenarios: Sequence[Found] = ()) -> bytes:
    """Return the page with this run, and with these scenarios of the user beside those that can always be played."""
    from lab.exploring.crash.plug import plugs
    from lab.host.environment import anonymous_text
    from lab.report.page.build import page_of, run_part
    from lab.tutorial.stories import stories

    made = {"tutorial": _tutorial(), "plays": _plays(scenarios), "stories": stories(), "plug": plugs()}
    parts = {name: _encoded(part) for name, part in made.items()}
    if run:
        parts["run"] = run_part(run)
    texts = {name: anonymous_text(part.decode()).encode() for name, part in parts.items()}
    return page_of(texts).encode("utf-8", "replace")


def _tutorial() -> dict[str, str]:
    from lab.host.environment import version

    return {"made": f"Made by the lab {version()} with `lab page`. One file; it loads nothing from anywhere."}


def _plays(own: Sequence[Found]) -> Plays:
    """Return the states to play, the user's scenarios first; a built-in one of the same name yields.

    Scenarios that cannot be played are reported on stderr.
    """
    from lab.exploring.plays import plays, simulated_scenarios

    names = {found.name for found in own}
    always = [found for found in simulated_scenarios() if found.name not in names]
    made = plays([*own, *always])
    for each in made.left_out:
        if each.scenario in names:
            complain(f"not on the page to be played: {each.reason}")
    return made


def _encoded(part: object) -> bytes:
    """Return the part as JSON; bytes of names that are no text become `?`."""
    import msgspec

    try:
        return msgspec.json.encode(part)
    except UnicodeEncodeError:
        import json

        plain = msgspec.to_builtins(part)
        return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")
