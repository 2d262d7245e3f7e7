"""Name the ready locks of libraries and of the standard library; what they need is imported only when one is chosen."""

from __future__ import annotations

READY = {
    "filelock": "lab.locks.ready.libraries:filelock",
    "filelock-soft": "lab.locks.ready.libraries:filelock_soft",
    "filelock-rw": "lab.locks.ready.libraries:filelock_rw",
    "portalocker": "lab.locks.ready.libraries:portalocker",
    "portalocker-rlock": "lab.locks.ready.libraries:portalocker_rlock",
    "fasteners": "lab.locks.ready.libraries:fasteners",
    "fasteners-rw": "lab.locks.ready.libraries:fasteners_rw",
    "multiprocessing": "lab.locks.ready.semaphores:multiprocessing",
    "lockfile": "lab.locks.ready.libraries:lockfile",
    "sysv-semaphore": "lab.locks.ready.semaphores:system_v",
    "posix-semaphore": "lab.locks.ready.semaphores:posix",
}
"""The place where each is made, as module:function."""
