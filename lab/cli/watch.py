"""Run a program, unchanged, and judge its locking of every shared file: what is wrong, at which line, and why.

The program and all that it starts is watched by a library that the loader preloads. Give the command behind --.
With FILE or --pid and no command: which processes hold and wait for locks on it at this moment.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

from lab.api.values import at_least, file_name, names, positive

from .options import Listed, add_shared, add_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `watch`."""
    parser.usage = (
        "lab watch [options] -- COMMAND [ARG ...]\n       lab watch [options] FILE ... | --pid PID | --read DIR"
    )
    parser.parse_known_args = partial(_split, parser)  # type: ignore[method-assign,assignment]
    parser.add_argument(
        "now",
        nargs="*",
        metavar="FILE",
        help="without a command: the processes that hold or wait for locks on it now. Behind --: the command; in its "
        "words {worker} is the number of the copy, {workers} how many run",
    )
    parser.add_argument("--pid", type=at_least(1), metavar="PID", help="the same for each file that this process locks")
    what = parser.add_argument_group("what to watch")
    add = what.add_argument
    add("-n", "--copies", type=at_least(1), default=1, metavar="N", help="run so many copies, released together (1)")
    add(
        "--file",
        action="append",
        default=[],
        metavar="GLOB",
        help="judge only the files that this matches, by path or by name, and all that is done to them; repeatable "
        "(those that somebody locks, or that two processes write)",
    )
    add(
        "--level",
        choices=["calls", "pages", "accesses"],
        default="calls",
        help="what is seen of mapped files: only their locks; also which pages are written between two calls (Linux "
        "6.7); each load and store, slower (x86-64) (calls)",
    )
    add("--ignore", action=Listed, type=names, default=[], metavar="CAUSE[,CAUSE...]", help="do not report this cause")
    add(
        "--suppress",
        action="append",
        default=[],
        metavar="FILE",
        help="accesses that are not judged, one a line, such as reads 0-99 *.db; or the name of a library that the lab "
        "knows (sqlite); repeatable",
    )
    add(
        "--from-outside",
        action="store_true",
        help="watch by a tracer in place of the library: static programs, and all that nothing can be preloaded into",
    )
    add(
        "--kernel",
        action="store_true",
        help="watch the locks alone, by the kernel's tracepoints: any program, at hardly any cost; for root",
    )
    add("--time-limit", type=positive, default=3600.0, metavar="S", help="end what still runs after so long (3600)")
    add("--keep", default="", metavar="DIR", help="keep the logs in this new folder")
    add("--read", type=Path, metavar="DIR", help="judge the logs of an earlier run again, instead of running a command")
    out = parser.add_argument_group("output")
    add_tables(out)
    add_shared(out, "json", "save")
    out.add_argument("--junit", type=file_name, metavar="PATH", help="also write JUnit XML there: a test case a cause")
    out.add_argument("-v", "--verbose", action="store_true", help="all pairs of lines, with their stacks")
    out.add_argument("-q", "--quiet", action="store_true", help="print only what is wrong")


def _split(
    parser: argparse.ArgumentParser, given: list[str], namespace: Any = None
) -> tuple[argparse.Namespace, list[str]]:
    """Parse what stands before --; all words behind it are the command, whatever they look like."""
    at = given.index("--") if "--" in given else len(given)
    parsed, left = argparse.ArgumentParser.parse_known_args(parser, given[:at], namespace)
    parsed.program = given[at + 1 :]
    return parsed, left


def run(arguments: argparse.Namespace) -> int:
    """Watch, save, print; a stop ends it as Ctrl-C does."""
    from lab.errors import UsageError
    from lab.processes import stops_interrupt
    from lab.records import WatchOptions
    from lab.report.format import check_format
    from lab.watching.suppressions import check_causes

    from .documents import Documents

    check_format(arguments.format)
    check_causes(arguments.ignore)
    asked = [name for name in ("program", "read", "now", "pid") if getattr(arguments, name)]
    if len(asked) != 1:
        raise UsageError(_usage(arguments, asked))
    if asked[0] in ("now", "pid"):
        return _look(arguments)
    for way in ("kernel", "from_outside"):
        if getattr(arguments, way) and arguments.level != "calls":
            option = f"--{way.replace('_', '-')}"
            raise UsageError(f"{option} sees calls; leave out --level {arguments.level}, or {option}")
    if arguments.kernel and arguments.from_outside:
        raise UsageError("--kernel and --from-outside are two ways to watch; give one of them")
    options = WatchOptions(
        command=arguments.program,
        copies=arguments.copies,
        files=arguments.file,
        ignore=arguments.ignore,
        suppress=arguments.suppress,
        time_limit_s=arguments.time_limit,
        keep=arguments.keep,
        level=arguments.level,
        recorder="kernel" if arguments.kernel else "tracer" if arguments.from_outside else "library",
    )
    with Documents("watch", arguments) as documents, stops_interrupt():
        from lab.report.junit import junit
        from lab.watching.run import judge_again, watch

        if arguments.junit:
            documents.also(arguments.junit, "give another --junit PATH", junit)
        return documents.finish(judge_again(arguments.read, options) if arguments.read else watch(options))


def _usage(arguments: argparse.Namespace, asked: list[str]) -> str:
    if asked == ["program", "now"]:
        return f"{arguments.now[0]} stands before --; use --file {arguments.now[0]} to judge only this file"
    return "give a command behind --, as in lab watch -- ./prog; or a FILE, --pid PID, --read DIR"


def _look(arguments: argparse.Namespace) -> int:
    """Print who holds and waits now; a FILE that is a program, and is not locked, was perhaps meant to be run."""
    from lab.errors import UsageError
    from lab.output import complain, lab_command, shell_line
    from lab.records import WatchOptions
    from lab.watching.now import look

    from .documents import Documents

    first = arguments.now[0] if arguments.now else ""
    program = first and (which(first) or which(f"./{first}"))
    hint = f"to run it: {lab_command()} watch -- {shell_line(arguments.now)}"
    options = WatchOptions(
        command=[],
        copies=0,
        files=arguments.now,
        ignore=[],
        suppress=[],
        time_limit_s=0.0,
        keep="",
        pid=arguments.pid or 0,
    )
    with Documents("watch", arguments) as documents:
        try:
            done = look(options)
        except UsageError as error:
            raise UsageError(f"{error}; {hint}") if program else error from error
        code = documents.finish(done)
    if program and done.now and not done.now.locks:
        complain(f"{first} is a program; {hint}")
    return code
