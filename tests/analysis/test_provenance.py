from __future__ import annotations

import pytest

from lab.analysis.accesses import Access
from lab.analysis.lost_updates import NOBODY, Origin, origins
from tests.analysis.accessing import image, load, store

SURE = (True, True)
CASES: dict[str, tuple[bytes, list[Access], list[Origin]]] = {
    "the last store": (b"b.", [store(0, (1, 2), b"a"), store(1, (3, 4), b"b")], [Origin(0, 1, 1, 0, *SURE)]),
    "over what nobody stored": (b".a", [store(0, (1, 2), b"a", start=1)], [Origin(1, 2, 0, NOBODY, *SURE)]),
    "loads leave nothing": (b"..", [load(0, (1, 2), b"..")], []),
    "a store to a part": (
        b"abaa",
        [store(0, (1, 2), b"aaaa"), store(1, (3, 4), b"b", start=1)],
        [Origin(0, 1, 0, NOBODY, *SURE), Origin(1, 2, 1, 0, *SURE), Origin(2, 4, 0, NOBODY, *SURE)],
    ),
    "stores at once are told apart by the bytes left": (
        b"abba",
        [store(0, (1, 4), b"aaaa"), store(1, (2, 5), b"bbbb")],
        [Origin(0, 1, 0, 1, *SURE), Origin(1, 3, 1, 0, *SURE), Origin(3, 4, 0, 1, *SURE)],
    ),
    "both left the same byte: not certain": (
        b"a",
        [store(0, (1, 4), b"a"), store(1, (2, 5), b"a")],
        [Origin(0, 1, 1, 0, certain=False, agrees=True)],
    ),
    "nobody stored it last: does not agree": (
        b"z",
        [store(0, (1, 2), b"a")],
        [Origin(0, 1, 0, NOBODY, certain=True, agrees=False)],
    ),
}


@pytest.mark.parametrize(("left", "accesses", "expected"), CASES.values(), ids=CASES)
def test_every_byte_has_its_last_store_and_the_one_before(
    left: bytes, accesses: list[Access], expected: list[Origin]
) -> None:
    assert list(origins(sorted(accesses), image(left, 99))) == expected
