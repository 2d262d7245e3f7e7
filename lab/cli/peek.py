"""Map a file read-only and print the byte at an offset, as the chapter's demo program does.

Where that program ends with 1 for wrong usage and wrong offsets, this ends with 2, as all of the lab does: 1 means
damage here. A file that shrinks while it is mapped is reported (exit code 3); it does not end the program.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from lab.errors import UsageError

from .values import at_least, file_name

NAME = "peek"
HELP = "map a file and print the byte at an offset"
USAGE = "usage: python -m lab peek FILE OFFSET [--hex LEN]"
USAGE_CODE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `peek`."""
    parser.usage = USAGE.removeprefix("usage: ")
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # as of Python 3.14: -0x10 is an offset, and no option
    add = parser.add_argument
    add("operands", nargs="*", metavar="FILE OFFSET", help="the file; the offset, decimal or 0x..., from 0 on")
    add(
        "--hex", type=at_least(1), metavar="LEN", help="print that many bytes from there on, in hexadecimal and as text"
    )


def run(arguments: argparse.Namespace) -> int:
    """Map, load, print."""
    if len(arguments.operands) != 2:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return USAGE_CODE
    name, offset = arguments.operands
    try:
        path = file_name(name)
    except argparse.ArgumentTypeError as error:
        raise UsageError(str(error)) from None
    _show(path, _number(offset), arguments.hex)
    return 0


def _number(text: str) -> int:
    try:
        return int(text, 16 if re.match(r"[+-]?0[xX]", text) else 10)
    except ValueError:
        raise UsageError(f"offset {text!r} is no whole number; give it in decimal or as 0x...") from None


def _show(path: Path, offset: int, length: int | None) -> None:
    from lab.chapter.characters import dump, literal
    from lab.chapter.peek import mapped

    with mapped(path) as file:
        if length is None:
            [content] = file.load(offset)
            print(f"byte at offset {offset} is {literal(content[0])}")  # noqa: T201
            return
        start = offset
        for content in file.load(offset, length):
            print(*dump(content, start), sep="\n")  # noqa: T201
            start += len(content)
        if start - offset < length:
            print(f"(the file ends here, after {start - offset} of {length} bytes)")  # noqa: T201
