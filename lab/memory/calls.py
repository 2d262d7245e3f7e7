"""Make the mapping calls one by one, with whatever numbers the tutorial gives.

They go to the C library directly: `mmap.mmap` keeps a descriptor of its own, refuses by itself what the kernel is
asked to refuse here, and knows no PROT_NONE and no address. A process that loads from or stores to an address that is
not mapped is killed (SIGSEGV, SIGBUS), as in C: do it in a child.
"""

from __future__ import annotations

import ctypes
import mmap as python_mmap
import os
from mmap import MADV_RANDOM, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE

from lab.errors import checked

__all__ = [
    "MADV_RANDOM",
    "MAP_FAILED",
    "MAP_PRIVATE",
    "MAP_SHARED",
    "MS_ASYNC",
    "MS_SYNC",
    "PAGE",
    "PROT_NONE",
    "PROT_READ",
    "PROT_WRITE",
    "load",
    "madvise",
    "map_read_only",
    "mmap",
    "mprotect",
    "msync",
    "munmap",
    "raw_mmap",
    "store",
]

PAGE = os.sysconf("SC_PAGE_SIZE")
"""The number of bytes of a page: 4 KiB on x86, up to 64 KiB on ARM and POWER."""

PROT_NONE = 0
MS_ASYNC, MS_SYNC = 1, 4
"""The values on Linux, on all architectures but alpha and parisc."""

MAP_FAILED = ctypes.c_void_p(-1).value
"""The value (void *) -1, as an address."""

_library = ctypes.CDLL(None, use_errno=True)
_mmap = getattr(_library, "mmap64", _library.mmap)  # with an off_t of 64 bits, also where the plain one has 32
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
_mmap.restype = ctypes.c_void_p
_library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_library.msync.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def raw_mmap(length: int, prot: int, flags: int, descriptor: int, offset: int = 0) -> tuple[int | None, int]:
    """Call mmap(2) at an address that the kernel chooses; return its result, None for NULL, and errno (0: success)."""
    ctypes.set_errno(0)
    address = _mmap(None, length, prot, flags, descriptor, offset)
    return address, ctypes.get_errno()


def mmap(length: int, prot: int, flags: int, descriptor: int, offset: int = 0) -> int:
    """Map (mmap(2)) at an address that the kernel chooses, which is returned; lengths in bytes. Raises OSError.

    The mapping is the caller's until `munmap` or the end of the process; the descriptor stays the caller's too.
    """
    address, code = raw_mmap(length, prot, flags, descriptor, offset)
    if address is None or address == MAP_FAILED:
        raise OSError(code, os.strerror(code))
    return address


def munmap(address: int, length: int) -> None:
    """Unmap (munmap(2)): these pages are gone. Raises OSError, EINVAL where it is no page's address."""
    checked(_library.munmap(address, length))


def msync(address: int, length: int, flags: int = MS_SYNC) -> None:
    """Flush (msync(2)). Raises OSError: EINVAL where it is no page's address, ENOMEM where nothing is mapped."""
    checked(_library.msync(address, length, flags))


def mprotect(address: int, length: int, prot: int) -> None:
    """Change the protection of these pages (mprotect(2)). Raises OSError, EACCES where the open file forbids it."""
    checked(_library.mprotect(address, length, prot))


def madvise(address: int, length: int, advice: int = MADV_RANDOM) -> None:
    """Tell the kernel how these pages will be used (madvise(2)). Raises OSError."""
    checked(_library.madvise(address, length, advice))


def load(address: int, length: int = 1) -> bytes:
    """Return a copy of these bytes of memory."""
    return ctypes.string_at(address, length)


def store(address: int, data: bytes) -> None:
    """Copy these bytes to memory."""
    ctypes.memmove(address, data, len(data))


def map_read_only(descriptor: int) -> python_mmap.mmap:
    """Map the whole file as Python does with ACCESS_READ. Raises OSError, ValueError for an empty file."""
    return python_mmap.mmap(descriptor, 0, access=python_mmap.ACCESS_READ)
