"""Run a program, unchanged, and judge its locking of every shared file: what is wrong, at which line, and why.

The program and all that it starts is watched by a library that the loader preloads. Give the command behind --.
With FILE or --pid and no command: which processes hold and wait for locks on it at this moment.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from lab.api.values import at_least, file_name, names, positive

from .options import Listed, add_shared, add_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.records import WatchOptions


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
    parser.add_argument(
        "--header",
        action="store_true",
        help="print the path of the C header by which a program says what orders it (lab_acquire), and end",
    )
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
        help="accesses that are not judged, one a line, such as reads 0-99 *.db or function:NAME; or such a line "
        "itself; or the name of a library that the lab knows (sqlite, lmdb, tdb); repeatable",
    )
    add(
        "--from-outside",
        action="store_true",
        help="watch by a tracer in place of the library: static programs, and all that nothing can be preloaded into",
    )
    add(
        "--kernel",
        action="store_true",
        help="watch the locks alone, by the kernel's tracepoints: any program, at little cost; for root",
    )
    add(
        "--mounts",
        action="store_true",
        help="the files are shared by several mounts or hosts: what is stored through a mapping must be synced (msync) "
        "before the unlock; with --level accesses",
    )
    add("--strict", action="store_true", help="notes are faults, too")
    add("--time-limit", type=positive, default=3600.0, metavar="S", help="end what still runs after so long (3600)")
    add(
        "--replay",
        type=at_least(1),
        default=0,
        metavar="N",
        help="run it again twice, with the two calls of fault N "
        "(its number in the report) in the order that was seen, and in the other one; the files that the command names "
        "are put back before",
    )
    add(
        "--check",
        default="",
        metavar="FILE.py|COMMAND",
        help="judges the file that each order leaves: a command that exits with 1 where it is corrupted, such as "
        "'./verify {file}', or a Python file with check(path, outcome) (whether both leave the same bytes)",
    )
    add("--keep", default="", metavar="DIR", help="keep the logs in this new folder")
    add("--read", type=Path, metavar="DIR", help="judge the logs of an earlier run again, instead of running a command")
    out = parser.add_argument_group("output")
    add_tables(out)
    add_shared(out, "json", "save")
    out.add_argument("--junit", type=file_name, metavar="PATH", help="also write JUnit XML there: a test case a cause")
    out.add_argument("--sarif", type=file_name, metavar="PATH", help="also write SARIF 2.1.0 there, for code hosts")
    out.add_argument("--html", type=file_name, metavar="PATH", help="also write a page there, with a timeline")
    out.add_argument(
        "--trace", type=file_name, metavar="PATH", help="also write a trace there, for Perfetto and chrome://tracing"
    )
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
    from lab.processes import stops_interrupt
    from lab.records import WatchOptions
    from lab.report.format import check_format
    from lab.watching.suppressions import check_causes

    from .documents import Documents

    if arguments.header:
        return _print_header()
    check_format(arguments.format)
    check_causes(arguments.ignore)
    _check(arguments)
    if arguments.now or arguments.pid:
        return _look(arguments)
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
        strict=arguments.strict,
        mounts=arguments.mounts,
        replay=arguments.replay,
        check=arguments.check,
    )
    check = _check_of(options)
    with Documents("watch", arguments) as documents, stops_interrupt():
        from lab.report.junit import junit
        from lab.report.page.watch import watch_page
        from lab.report.sarif import sarif
        from lab.watching.run import judge_again, watch

        for option, render in (("junit", junit), ("sarif", sarif), ("html", watch_page)):
            if path := getattr(arguments, option):
                documents.also(path, f"give another --{option} PATH", render)
        if arguments.trace:
            documents.trace(arguments.trace)
        return documents.finish(judge_again(arguments.read, options) if arguments.read else watch(options, check))


def _check_of(options: WatchOptions) -> Callable[[Path], list[str]] | None:
    """Return what judges the file that a replay leaves, line by line. Raises UsageError for a wrong check."""
    from lab.racing.programs.check import check_of
    from lab.scenario import Outcome

    if not options.check:
        return None
    check, outcome = check_of(options.check), Outcome(options.copies, [1] * options.copies)

    def broken(path: Path) -> list[str]:
        found = check.judge(path, outcome, options.time_limit_s)
        return [line for damage in found if damage.count for line in (damage.evidence or [damage.kind])]

    return broken


def _print_header() -> int:
    from lab.output import print_text
    from lab.watching.annotations import HEADER

    print_text(str(HEADER))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for what makes no sense together."""
    from lab.errors import UsageError

    asked = [name for name in ("program", "read", "now", "pid") if getattr(arguments, name)]
    if asked == ["program", "now"]:
        first = arguments.now[0]
        raise UsageError(f"{first} stands before --; use --file {first} to judge only this file")
    if len(asked) != 1:
        raise UsageError("give a command behind --, as in lab watch -- ./prog; or a FILE, --pid PID, --read DIR")
    for option in ("junit", "sarif", "html", "trace"):
        if asked[0] in ("now", "pid") and getattr(arguments, option):
            raise UsageError(f"--{option} is about a command that is watched; give one behind --")
    _check_recorder(arguments)
    if arguments.replay and not arguments.program:
        raise UsageError("--replay runs the command again; give it behind --")
    if arguments.check and not arguments.replay:
        raise UsageError("--check judges the file that a replay leaves; give --replay N too")


def _check_recorder(arguments: argparse.Namespace) -> None:
    """Raise UsageError for what the asked recorder and level do not see, or cannot do."""
    from lab.errors import UsageError

    level, kernel, outside = arguments.level, arguments.kernel, arguments.from_outside
    if outside and level == "accesses":
        raise UsageError("--from-outside sees calls, or pages; give --level pages, or leave out --from-outside")
    if kernel and level != "calls":
        raise UsageError(f"--kernel sees locks alone; leave out --level {level}, or --kernel")
    if arguments.mounts and arguments.program and level != "accesses":
        raise UsageError("--mounts judges stores to mappings; give --level accesses too")
    if kernel and outside:
        raise UsageError("--kernel and --from-outside are two ways to watch; give one of them")
    if arguments.replay and (kernel or outside or level != "calls"):
        raise UsageError("--replay holds calls, by the library; leave out --level, --from-outside and --kernel")


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
