"""Kernels that read requests wrongly, or answer them wrongly, each in one way."""

from __future__ import annotations

import errno
from contextlib import suppress

from lab.analysis.holds import END
from lab.model.files import GRANTED, READ, UNLOCK, WRITE, Answer, Request
from lab.model.kernel import Kernel


class _Reads(Kernel):
    """A kernel that takes `read` of a request for the request."""

    def read(self, request: Request, size: int) -> Request:
        raise NotImplementedError

    def _read(self, process: int, number: int, request: Request) -> Request:
        size = 0
        with suppress(OSError):
            size = self.description(process, number).inode.size
        return self.read(request, size)

    def _set(self, process: int, number: int, request: Request, *, wait: bool, ofd: bool) -> Answer:
        return super()._set(process, number, self._read(process, number, request), wait=wait, ofd=ofd)

    def _get(self, process: int, number: int, request: Request, *, ofd: bool) -> Answer:
        return super()._get(process, number, self._read(process, number, request), ofd=ofd)


class TheLastByteIsTooFar(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request._replace(whence=9) if request.length and request.start + request.length == END else request


class AnEndTooFarIsCut(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request._replace(length=0) if request.start + request.length > END else request


class NegativeStartsAreZero(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request._replace(start=max(0, request.start)) if not request.whence else request


class NegativeLengthsAreRefused(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request._replace(whence=9) if request.length < 0 else request


class NegativeLengthsAreTurnedRound(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request._replace(length=abs(request.length))


class WhenceIsIgnored(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request._replace(whence=0)


class UnknownTypesWrite(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request if request.kind in (READ, WRITE, UNLOCK) else request._replace(kind=WRITE)


class LocksAreCutAtTheEndOfTheFile(_Reads):
    """A range behind it becomes one in a place where nobody looks."""

    def read(self, request: Request, size: int) -> Request:
        return request._replace(start=1 << 50, length=1) if size and request.start >= size else request


class OfdPidsAreIgnored(_Reads):
    def read(self, request: Request, size: int) -> Request:
        return request._replace(pid=0)


class ModesAreIgnored(Kernel):
    def _set(self, process: int, number: int, request: Request, *, wait: bool, ofd: bool) -> Answer:
        with suppress(OSError):
            description = self.description(process, number)
            description.readable = description.writable = True
        return super()._set(process, number, request, wait=wait, ofd=ofd)


class OneWayFilesLockNothing(Kernel):
    """A lock through a file that is not open for both reading and writing is granted unseen."""

    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        answer = super().posix_set(process, number, request)
        description = None if answer.errno == errno.EBADF else self.description(process, number)
        if description and not (description.readable and description.writable):
            return GRANTED
        return super().posix_set(process, number, request, wait=wait)


class GetlkChecksModes(Kernel):
    def posix_get(self, process: int, number: int, request: Request) -> Answer:
        with suppress(OSError):
            if request.kind == WRITE and not self.description(process, number).writable:
                return Answer(errno.EBADF)
        return super().posix_get(process, number, request)


class GetlkTellsWhatWasAsked(Kernel):
    def posix_get(self, process: int, number: int, request: Request) -> Answer:
        answer = super().posix_get(process, number, request)
        if answer.found is None:
            return answer
        span = self.description(process, number).range_of(request)
        return answer._replace(found=answer.found._replace(span=span))


class GetlkFindsNothing(Kernel):
    def posix_get(self, process: int, number: int, request: Request) -> Answer:
        return super().posix_get(process, number, request)._replace(found=None)


class GetlkTellsThePidOfTheRequest(Kernel):
    told = 0

    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        self.told = request.pid
        return super().posix_set(process, number, request, wait=wait)

    def posix_get(self, process: int, number: int, request: Request) -> Answer:
        answer = super().posix_get(process, number, request)
        pid = self.told and answer.found and self.told
        return answer._replace(found=answer.found._replace(pid=pid)) if answer.found and pid else answer


class OfdLocksAreOfProcessZero(Kernel):
    def posix_get(self, process: int, number: int, request: Request) -> Answer:
        answer = super().posix_get(process, number, request)
        return answer._replace(found=answer.found._replace(pid=max(0, answer.found.pid))) if answer.found else answer


class OfdGetlkFindsNoneOfItsOwn(Kernel):
    def ofd_get(self, process: int, number: int, request: Request) -> Answer:
        return GRANTED if request.kind == UNLOCK else super().ofd_get(process, number, request)


class UnlockOfNothingIsRefused(Kernel):
    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        with suppress(OSError):
            if request.kind == UNLOCK and not self.description(process, number).inode.ranges.of(self._table(process)):
                return Answer(errno.EINVAL)
        return super().posix_set(process, number, request, wait=wait)


class WaitersWaitForEveryLock(Kernel):
    """F_SETLKW waits while anybody has any lock on the file."""

    def posix_set(self, process: int, number: int, request: Request, *, wait: bool = False) -> Answer:
        return super().posix_set(process, number, Request(WRITE) if wait else request, wait=wait)


class FlockNeedsWriting(Kernel):
    def flock(self, process: int, number: int, kind: int, *, wait: bool = False) -> Answer:
        with suppress(OSError):
            if kind == WRITE and not self.description(process, number).writable:
                return Answer(errno.EACCES)
        return super().flock(process, number, kind, wait=wait)


class UnknownFlocksUnlock(Kernel):
    def flock(self, process: int, number: int, kind: int, *, wait: bool = False) -> Answer:
        return super().flock(process, number, min(kind, UNLOCK), wait=wait)
