"""Name the ready locks of libraries and of the standard library; what they need is imported only when one is chosen."""

from __future__ import annotations

READY = {
    "filelock": "lab.locking.ready.libraries:filelock",
    "filelock-soft": "lab.locking.ready.libraries:filelock_soft",
    "filelock-rw": "lab.locking.ready.libraries:filelock_rw",
    "portalocker": "lab.locking.ready.libraries:portalocker",
    "portalocker-rlock": "lab.locking.ready.libraries:portalocker_rlock",
    "fasteners": "lab.locking.ready.libraries:fasteners",
    "fasteners-rw": "lab.locking.ready.libraries:fasteners_rw",
    "multiprocessing": "lab.locking.ready.semaphores:multiprocessing",
    "lockfile": "lab.locking.ready.libraries:lockfile",
    "sysv-semaphore": "lab.locking.ready.semaphores:system_v",
    "posix-semaphore": "lab.locking.ready.semaphores:posix",
}
"""The place where each is made, as module:function."""
