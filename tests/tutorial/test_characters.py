from __future__ import annotations

import pytest

from lab.tutorial.calls import dump, literal


@pytest.mark.parametrize(
    ("byte", "written"),
    [
        (b"x", "'x'"),
        (b" ", "' '"),
        (b'"', "'\"'"),
        (b"'", r"'\''"),
        (b"\\", r"'\\'"),
        (b"\n", r"'\n'"),
        (b"\t", r"'\t'"),
        (b"\0", r"'\x00'"),
        (b"\x7f", r"'\x7f'"),
        (b"\xe9", r"'\xe9'"),
    ],
)
def test_a_byte_is_written_as_a_character_constant(byte: bytes, written: str) -> None:
    assert literal(byte[0]) == written


def test_every_byte_is_ascii_and_no_two_are_written_alike() -> None:
    written = [literal(byte) for byte in range(256)]
    assert len(set(written)) == 256
    assert all(text.isascii() and text.isprintable() for text in written)


def test_a_dump_has_offset_bytes_and_text_in_lines_of_sixteen() -> None:
    assert list(dump(b"hello\n\0" + b"~" * 12, 30)) == [
        "0000001e  68 65 6c 6c 6f 0a 00 7e  7e 7e 7e 7e 7e 7e 7e 7e  |hello..~~~~~~~~~|",
        "0000002e  7e 7e 7e                                          |~~~|",
    ]
