"""A recording as the model knows it: its accesses with their bytes, its holds, the file before and after."""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Iterator
from itertools import accumulate

from lab.model.accesses import ENDLESS, LOAD, Access
from lab.model.holds import Hold, Span
from lab.results import Recording

NEVER = -1
IMAGE_AT_MOST = 1 << 22
"""Bytes of a file that are laid out to be looked at whole."""


def accesses_of(recording: Recording) -> list[Access]:
    """The accesses of a recording, with their bytes. Raises ValueError for content that cannot be unpacked."""
    import zlib

    columns = recording.accesses
    try:
        content = zlib.decompressobj().decompress(a2b_base64(columns.content), max(1, sum(columns.kept)))
    except zlib.error as error:
        raise ValueError(f"the content of its accesses: {error}") from error
    at = list(accumulate(columns.kept, initial=0))
    return [
        Access(
            begun_ns=columns.begun_ns[number],
            ended_ns=ENDLESS if ended_ns == NEVER else ended_ns,
            worker=columns.worker[number],
            round=columns.round[number],
            what=columns.kind[number],
            start=columns.start[number],
            length=columns.length[number],
            data=content[at[number] : at[number + 1]],
        )
        for number, ended_ns in enumerate(columns.ended_ns)
    ]


def images(recording: Recording) -> tuple[Access, Access] | None:
    """The whole file as loads: before the first access and after the last. None where it is not known whole."""
    if recording.size > IMAGE_AT_MOST or recording.blocks_left_out:
        return None
    before, after = bytearray(recording.size), bytearray(recording.size)
    for block in recording.blocks:
        for image, digits in ((before, block.before), (after, block.after)):
            image[block.start : block.start + len(digits) // 2] = bytes.fromhex(digits)
    size, end = recording.size, ENDLESS - 1
    return (
        Access(-ENDLESS, -ENDLESS, NEVER, 0, LOAD, 0, size, bytes(before)),
        Access(end, end, NEVER, 0, LOAD, 0, size, bytes(after)),
    )


def holds_of(recording: Recording) -> Iterator[Hold]:
    """The locks that were granted; one that was not given back counts as released when granted."""
    columns = recording.holds
    facts = zip(
        columns.granted_ns, columns.released_ns, columns.requested_ns, columns.worker, columns.start, columns.length,
        columns.write, strict=True,
    )  # fmt: skip
    for granted, released, requested, worker, start, length, write in facts:
        if granted != NEVER:
            yield Hold(granted, max(granted, released), requested, worker, Span(start, length, bool(write)).pack())
