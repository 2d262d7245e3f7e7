"""The calls of the tour: each is written as in C, and makes just that call in the process in which it runs.

`page` stands for the page size, `fd` for the open file, `data` for the address of the last mapping and `c` for a char;
a struct flock is written as its l_type, l_whence, l_start and l_len.
"""

from __future__ import annotations

from .call import NOT_MAPPED, WORKS, Call, in_pages, perform_call, perform_in_child
from .file import Close, Fcntl, Mappings, Open, Pread, Pwrite, Size, Truncate
from .memory import Load, Mmap, Mprotect, Msync, Munmap, PythonStore, PythonUseAfterClose, Refused, Store

__all__ = [
    "NOT_MAPPED",
    "WORKS",
    "Call",
    "Close",
    "Fcntl",
    "Load",
    "Mappings",
    "Mmap",
    "Mprotect",
    "Msync",
    "Munmap",
    "Open",
    "Pread",
    "Pwrite",
    "PythonStore",
    "PythonUseAfterClose",
    "Refused",
    "Size",
    "Store",
    "Truncate",
    "in_pages",
    "perform_call",
    "perform_in_child",
]
