"""Map a file read-only and print the byte at an offset, as the tutorial's demo program does.

Where that program ends with 1 for wrong usage and wrong offsets, this ends with 2, as all of the lab does: 1 means
damage here. A file that shrinks while it is mapped is reported (exit code 3); it does not end the program.
"""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any

from lab.api.values import at_least, file_name
from lab.errors import ExitCode, UsageError
from lab.output import print_error, print_text

USAGE = "usage: lab peek FILE OFFSET [--hex LEN]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `peek`."""
    parser.usage = USAGE.removeprefix("usage: ")
    parser.parse_known_args = partial(_intermixed, parser)  # type: ignore[method-assign,assignment]
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # as of Python 3.14: -0x10 is an offset, and no option
    add = parser.add_argument
    add("operands", nargs="*", metavar="FILE OFFSET", help="the file; the offset, decimal or 0x..., from 0 on")
    add(
        "--hex", type=at_least(1), metavar="LEN", help="print that many bytes from there on, in hexadecimal and as text"
    )


def run(arguments: argparse.Namespace) -> int:
    """Map, load, print."""
    if len(arguments.operands) != 2:
        print_error(USAGE)
        return ExitCode.USAGE
    name, offset = arguments.operands
    try:
        path = file_name(name)
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error)) from None
    _show(path, _number(offset), arguments.hex)
    return 0


def _intermixed(
    parser: argparse.ArgumentParser, given: list[str], namespace: Any = None
) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line where FILE and OFFSET have options between them, which argparse offers for whole lines only.

    argparse drops a `--` in doing so; behind one there are no options.
    """
    del parser.parse_known_args
    parse = parser.parse_known_args if "--" in given else parser.parse_known_intermixed_args
    return parse(given, namespace)


def _number(text: str) -> int:
    if not re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)", text):
        raise UsageError(f"offset {text!r} is no whole number; give it in decimal or as 0x...")
    return int(text, 16 if "x" in text.lower() else 10)


def _show(path: Path, offset: int, length: int | None) -> None:
    from lab.tutorial.calls import dump, literal
    from lab.tutorial.peek import mapped

    with mapped(path) as file:
        if length is None:
            [content] = file.load(offset)
            print_text(f"byte at offset {offset} is {literal(content[0])}")
            return
        start = offset
        for content in file.load(offset, length):
            print_text("\n".join(dump(content, start)))
            start += len(content)
        if start - offset < length:
            print_text(f"(the file ends here, after {start - offset} of {length} bytes)")
