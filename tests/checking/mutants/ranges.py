"""Byte-range locks that are broken, each in one way."""

from __future__ import annotations

from collections.abc import Hashable

from lab.analysis.holds import END, Span
from lab.model.record_locks import Record, RecordLocks


class GrantsEverything(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        return None


class OwnLocksConflict(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        return super().conflict(object(), span)


class TouchingRangesConflict(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        first, end = max(0, span.start - 1), min(END, span.end + 1)
        return super().conflict(owner, Span(first, end - first, span.write))


class LastByteIsNotCompared(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        return super().conflict(owner, span._replace(length=span.length - 1) if span.length > 1 else span)


class RangesAreIgnored(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        return super().conflict(owner, Span(0, 0, span.write))


class InsideIsFree(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        found = super().conflict(owner, span)
        return None if found and found.start < span.start and span.end < found.end else found


class AroundIsFree(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        found = super().conflict(owner, span)
        return None if found and span.start < found.start and found.end < span.end else found


class ReadersExcludeReaders(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        return super().conflict(owner, span._replace(write=True))


class ReadersOfTheSameRangeExcludeEachOther(RecordLocks):
    """Not of one byte: whoever looks byte by byte sees nothing of it."""

    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        same = (
            record for record in self.records()
            if record.owner != owner and record.end - record.start > 1 and record[1:3] == (span.start, span.end)
        )  # fmt: skip
        return next(same, None) or super().conflict(owner, span)


class ReadersPassWriters(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        return super().conflict(owner, span) if span.write else None


class PosixAndOfdKnowNothingOfEachOther(RecordLocks):
    def conflict(self, owner: Hashable, span: Span) -> Record | None:
        found = super().conflict(owner, span)
        return found if found and type(found.owner) is type(owner) else None


class LengthZeroIsOneByte(RecordLocks):
    def grant(self, owner: Hashable, span: Span) -> None:
        super().grant(owner, span._replace(length=span.length or 1))


class InfinityEndsAt31Bits(RecordLocks):
    def grant(self, owner: Hashable, span: Span) -> None:
        super().grant(owner, span._replace(length=span.length or max(1, 2**31 - span.start)))


class TheOtherTypeReplacesAll(RecordLocks):
    def grant(self, owner: Hashable, span: Span) -> None:
        for record in self.of(owner):
            if record.write != span.write and record.start < span.end and span.start < record.end:
                super().grant(owner, record.span._replace(write=span.write))
        super().grant(owner, span)


class NeverMerges(RecordLocks):
    def grant(self, owner: Hashable, span: Span) -> None:
        self.release(owner, span.start, span.length)
        kept = [*self.of(owner), Record(owner, span.start, span.end, span.write)]
        self._held[owner] = tuple(sorted(kept, key=lambda record: record.start))


class MergesDifferentTypes(RecordLocks):
    def grant(self, owner: Hashable, span: Span) -> None:
        for record in self.of(owner):
            if record.end == span.start or record.start == span.end:
                super().grant(owner, record.span._replace(write=span.write))
        super().grant(owner, span)


class DowngradesAreIgnored(RecordLocks):
    def grant(self, owner: Hashable, span: Span) -> None:
        if not any(
            record.write and Record(owner, *span[:1], span.end, True).is_within(record) for record in self.of(owner)
        ):
            super().grant(owner, span)


class KeepsAHundredLocks(RecordLocks):
    def grant(self, owner: Hashable, span: Span) -> None:
        super().grant(owner, span)
        self._held[owner] = self._held[owner][-100:]


class UnlockFreesWholeLocks(RecordLocks):
    def release(self, owner: Hashable, start: int, length: int) -> None:
        end = start + length if length else END
        for record in self.of(owner):
            if record.start < end and start < record.end:
                super().release(owner, *record.span[:2])


class UnlockFreesAllBehind(RecordLocks):
    def release(self, owner: Hashable, start: int, length: int) -> None:
        super().release(owner, start, 0)


class UnlockForgetsTheLastByte(RecordLocks):
    def release(self, owner: Hashable, start: int, length: int) -> None:
        super().release(owner, start, max(1, length - 1) if length else 0)
