"""Run `lab COMMAND`: read the command line, run the command, turn errors into one line and an exit code.

The command line has the command, its options and the defaults of `[tool.lab]`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from textwrap import fill

from lab.commands import COMMANDS, Command
from lab.errors import ExitCode, LabError, UsageError, unknown
from lab.output import (
    COLOR_CHOICES,
    choose_color,
    complain,
    drop_unwritten,
    nobody_reads,
    print_error,
    print_text,
    screen_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TextIO


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code to end with."""
    sys.stdout, sys.stderr = (stream or _nowhere() for stream in (sys.stdout, sys.stderr))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a scenario's own prints come in order with the lab's too
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _exit_code(given, wants_trace="--traceback" in given)
    finally:
        drop_unwritten()


def _exit_code(given: Sequence[str], *, wants_trace: bool) -> int:
    """Run the command and turn what it raises into one line and an exit code."""
    try:
        parsed = parse(given)
        choose_color(parsed.color)
        from lab.processes import Descendants, stops_interrupt  # --help need not wait for it

        with stops_interrupt(), Descendants():
            code: int = parsed.run(parsed)
        print_text("", end="")
        return code
    except SystemExit as ended:  # --help, --version
        return int(ended.code or 0)
    except BrokenPipeError as error:
        return ExitCode.UNREAD if nobody_reads() else _refused(error, trace=wants_trace)
    except OSError as error:
        return _refused(error, trace=wants_trace)
    except LabError as error:
        return _fail(str(error), error.exit_code, trace=wants_trace)
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.INTERRUPTED, trace=wants_trace)
    except MemoryError:
        return _fail(
            "no memory is left; ask for less, or raise the limit (ulimit -v)", ExitCode.UNABLE, trace=wants_trace
        )
    except Exception as error:
        if _is_of_import(error):
            why = f"cannot import all that this needs ({error}); install it again, or raise the limits (ulimit -n, -v)"
            return _fail(why, ExitCode.UNABLE, trace=wants_trace)
        why = f"a fault of the lab itself, {type(error).__name__}: {error}; --traceback shows where, please report it"
        return _fail(why, ExitCode.FAULT, trace=wants_trace)


def _is_of_import(error: BaseException) -> bool:
    """Return True for any error of an import, of whatever kind.

    Python imports a folder that it cannot look at as empty.
    """
    below = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ImportError) or any(frame.name == "<module>" for frame in below)


def _refused(error: OSError, *, trace: bool) -> int:
    return _fail(f"{error.strerror or error}; --traceback shows where", ExitCode.UNABLE, trace=trace)


def _nowhere() -> TextIO:
    """Return a place for output whose stream the caller has closed."""
    return Path(os.devnull).open("w")


def _fail(message: str, code: int, *, trace: bool) -> int:
    if trace:
        print_error(traceback.format_exc().rstrip("\n"))
    complain(re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], message))  # names may have newlines
    return code


EPILOG = """lab help COMMAND prints the options of a command, the files that it writes, and its exit codes.

exit codes:
"""


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage as the lab's other errors are reported, and takes whole names of options."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"allow_abbrev": False, **options})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing the usage and exiting."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def print_help(self, file: object = None) -> None:
        """Print the help as all output is printed, so that one that cannot be written is no success."""
        print_text(self.format_help(), end="")


class Help(argparse.HelpFormatter):
    """Help that fits the terminal: paragraphs are filled, lines that begin with a space stay lines."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=screen_width() - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for line in text.splitlines():
            if lines and lines[-1] and line[:1].strip() and lines[-1][:1].strip():
                lines[-1] += f" {line}"
            else:
                lines.append(line)
        return "\n".join(fill(line, width, subsequent_indent=" " * _column(line)) for line in lines)


def _column(line: str) -> int:
    """Return where the second column of an indented line begins; 0 for a line of a paragraph."""
    found = re.match(r" +\S+ +", line)
    return found.end() if found else 0


class Version(argparse.Action):
    """`--version`: print the version, which takes a search of the installed packages, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print it and exit with 0."""
        from lab import __version__

        print_text(f"lab {__version__}")
        raise SystemExit(0)


def parse(given: Sequence[str]) -> argparse.Namespace:
    """Return the options; `run` among them is the command's function. Raise UsageError, or SystemExit after a help."""
    name = command_in(given)
    if not given or name == "help":
        asked = given[list(given).index("help") + 1 :] if name else ()
        given = [*asked[:1], "--help"]
        name = command_in(given)
    if name and name not in COMMANDS:
        raise unknown("command", name, list(COMMANDS))
    parser, commands = _parser([name] if name else [])
    if not name:
        parser.parse_args(given)
        parser.error("give a COMMAND")
    from .configuration import configured

    return configured(name, commands[name], given, lambda words: _parsed(parser, commands[name], words))


def command_in(given: Sequence[str]) -> str:
    """Return the first word that is no option, nor the value of one; empty where there is none."""
    words = iter(given)
    for word in words:
        if word == "--color":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _parsed(parser: Parser, command: Parser, given: Sequence[str]) -> argparse.Namespace:
    """Parse all words; an option that does not exist is reported with the nearest one that does."""
    parsed, left = parser.parse_known_args(given)
    wrong = [word.partition("=")[0] for word in left if word.startswith("-") and word != "-"]
    if wrong:
        raise UsageError(f"{unknown('option', wrong[0], options_of(command))}; see {command.prog} --help")
    if left:
        command.error(f"unrecognized arguments: {' '.join(left)}")
    return parsed


def options_of(command: argparse.ArgumentParser) -> list[str]:
    """Return the names of all options of a command."""
    return [name for action in command._actions for name in action.option_strings]


def epilog_of(command: Command) -> str:
    """Return the end of a command's help: the files that it writes, and its exit codes."""
    own = {ExitCode.DAMAGE: command.damage, ExitCode.FAILED: command.failed}
    return f"writes: {command.writes}\n\nexit codes:\n{ExitCode.explained(own)}"


def parser_of(name: str) -> Parser:
    """Return the parser of one command."""
    return _parser([name])[1][name]


def whole_parser() -> Parser:
    """Return the parser with the options of every command, for what is made from it."""
    return _parser(list(COMMANDS))[0]


def _parser(loaded: Sequence[str]) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser and those of the loaded commands; the others have only their line of `--help`."""
    parser = Parser(
        prog="lab",
        description="Find out whether a lock really protects a shared, memory-mapped file.",
        epilog=EPILOG + ExitCode.explained(),
        formatter_class=Help,
    )
    parser.add_argument("-V", "--version", action=Version, nargs=0, help="print the version of the lab")
    _add_general(parser)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    made = {}
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.summary, epilog=epilog_of(command), formatter_class=Help)
        if name in loaded:
            module = import_module(f"lab.cli.{name}")
            added.description = module.__doc__
            module.add_arguments(added)
            _add_general(added, default=argparse.SUPPRESS)
            added.set_defaults(run=module.run)
            made[name] = added
    return parser, made


def _add_general(parser: Parser, default: str | None = None) -> None:
    """Add what every command takes, before its name and after it; `default` hides it and keeps what came before."""
    hidden: dict[str, str] = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS} if default else {}
    colour = {"help": "mark verdicts by colour (auto: on a terminal, unless NO_COLOR is set)", "default": "auto"}
    where = {"help": "show where in the lab an error came from", "default": False}
    parser.add_argument("--color", choices=COLOR_CHOICES, **{**colour, **hidden})  # type: ignore[arg-type]
    parser.add_argument("--traceback", action="store_true", **{**where, **hidden})  # type: ignore[arg-type]
