"""Locks of libraries and of the standard library, ready to be chosen by name; what they need is imported only then."""

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
"""Where each is made, as module:function."""
