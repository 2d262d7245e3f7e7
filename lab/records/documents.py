"""The documents as JSON: their schema, writing and reading."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.errors import UsageError

from .backings import BackingsCompared
from .bench import Bench
from .check import Check
from .common import SCHEMA, Head
from .compare import Comparison
from .explore import Exploration, Replay
from .locks import LocksCompared
from .race import Run
from .tour import Tour
from .untrusted import check_values, read

ACTS = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
"""Control characters and marks of direction that JSON would leave as they are, in UTF-8."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Document = Run | Exploration | Replay | Check | Bench | Tour | BackingsCompared | LocksCompared | Comparison
KINDS: dict[str, type[Document]] = {
    "race": Run,
    "explore": Exploration,
    "replay": Replay,
    "check": Check,
    "bench": Bench,
    "tour": Tour,
    "backings": BackingsCompared,
    "locks": LocksCompared,
    "compare": Comparison,
}
"""The record of each command's document."""


def json_schema(command: str = "race") -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a command's document, made from its records; the same under every Python."""
    from inspect import cleandoc

    import msgspec

    schema = {"$schema": DRAFT, **msgspec.json.schema(KINDS[command])}
    for record in schema["$defs"].values():
        record["description"] = cleandoc(record["description"])  # Python 3.13 strips docstrings, earlier ones do not
    return schema


def encode(run: Document) -> bytes:
    """The document as JSON: indented, lists of numbers on one line, with a newline at its end.

    Bytes of names that are no text become `?`.
    """
    import msgspec

    try:
        plain = msgspec.json.encode(run)
    except UnicodeEncodeError:
        import json

        plain = json.dumps(asdict(run), ensure_ascii=False).encode("utf-8", "replace")
    indented = msgspec.json.format(plain, indent=1)
    lists_of_numbers = rb"\[\n[\s\d.,e+-]+\]"  # no text looks so: a newline in it is escaped
    laid_out = re.sub(lists_of_numbers, lambda found: b"".join(found[0].split()), indented) + b"\n"
    return ACTS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), laid_out)


def load(path: Path) -> Run:
    """Read a race's document back; raises as `load_any` does, and UsageError for the document of another command."""
    document = load_any(path)
    if not isinstance(document, Run):
        raise UsageError(f"{path}: is a document of `{document.command}`, not of `race`; give another")
    return document


def load_any(path: Path) -> Document:
    """Read a document of any command back.

    Raises UsageError where the file is missing, no JSON, cut short, of another schema, or no run of the lab.
    """
    import msgspec

    content = read(path)
    try:
        document = msgspec.json.decode(content, type=Head)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path}: has no `schema` and `command`, so it is no results file of the lab; give another"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cut = "truncated" in str(error) or (content.startswith(b"{") and not content.rstrip().endswith(b"}"))
        what = "is cut short" if cut else f"is not JSON ({error})"
        raise UsageError(f"{path}: {what}; make it again with `python -m lab race`") from error
    if document.schema != SCHEMA:
        what, step = ("newer", "update the lab") if document.schema > SCHEMA else ("older", "make it again")
        raise UsageError(f"{path}: is of schema {document.schema}, {what} than this lab reads ({SCHEMA}); {step}")
    kind = KINDS.get(document.command, Run)
    try:
        found = msgspec.json.decode(content, type=kind)
        check_values(found)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors, as is what is no UTF-8
        raise UsageError(f"{path}: does not fit schema {document.schema} ({error}); make it again") from error
    return found
