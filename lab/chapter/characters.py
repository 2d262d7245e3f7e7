"""Bytes as C writes them."""

from __future__ import annotations

from collections.abc import Iterator

ACROSS = 16
HALF = ACROSS // 2


def literal(byte: int) -> str:
    """A character constant, with what cannot be printed, the quote and the backslash escaped."""
    text = "\\'" if byte == ord("'") else repr(bytes([byte]))[2:-1]
    return f"'{text}'"


def dump(content: bytes, offset: int) -> Iterator[str]:
    """Lines of 16 bytes: the offset of the first in hexadecimal, the bytes, and the text, a dot for what is none."""
    for start in range(0, len(content), ACROSS):
        line = content[start : start + ACROSS]
        halves = [line[:HALF].hex(" "), line[HALF:].hex(" ")]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{offset + start:08x}  {halves[0]:23}  {halves[1]:23}  |{text}|"
