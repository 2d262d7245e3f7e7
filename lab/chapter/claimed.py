"""What is expected of each way to share bytes, property by property.

The chapter compares two ways, mapped files (`mapped`) and System V segments (`sysv`), in the rows backing store,
set-up, key, persistence, clean-up, synchronisation and portability; the rest are answers of the man pages.
"""

from __future__ import annotations

from lab.results import Property

REGIONS = ("mapped", "private", "stream", "sysv", "posix", "anonymous")

PROPERTIES = (
    Property("backing store", "what /proc/self/maps and /proc/self/fd name; of a file the filesystem too"),
    Property("set-up", "which calls, by definition; the owner makes them, and they work"),
    Property("key", "what a stranger, forked before, finds the bytes by; anonymous has none by definition"),
    Property("seen by others", "the owner stores; the stranger loads, and so does a child of the owner"),
    Property("read(2) sees it", "the owner has stored; pread(2) by the stranger, or the owner where there is none"),
    Property("persistence", "all who had it have exited; a new process looks by the key"),
    Property("key removed", "while one process is attached: what that one loads, and what a new one finds"),
    Property("clean-up", "which calls, by definition; the removal worked, once, and left nothing to be found"),
    Property(
        "synchronisation",
        "owner and stranger (or child) load, then each adds 1: what arrived of the 2; "
        "the chapter's remedy: semaphores for segments, file locks or semaphores for mapped files",
    ),
    Property("file lock on it", "F_SETLK by two processes, each on the descriptor that it has of it"),
    Property("portability", "sysconf(3): the version of POSIX, or its option, that this system says it keeps"),
)

CLAIMS = {
    "backing store": (
        "a file, mapped",
        "a file, mapped",
        "a file, not mapped",
        "kernel memory, /SYSV",
        "kernel memory, /dev/shm/",
        "kernel memory, /dev/zero",
    ),
    "set-up": ("open, mmap", "open, mmap", "open", "ftok, shmget, shmat", "shm_open, ftruncate, mmap", "mmap"),
    "key": ("the file's name", "the file's name", "the file's name", "ftok()", "a name", "none"),
    "seen by others": ("yes", "no", "yes", "yes", "yes", "by children"),
    "read(2) sees it": ("yes", "no", "yes", "no descriptor", "yes", "no descriptor"),
    "persistence": ("stays", "the file as it was", "stays", "stays", "stays", "gone"),
    "key removed": (*["stays, new: ENOENT"] * 5, "has none"),
    "clean-up": (
        "munmap; stays until unlink",
        "munmap; stays until unlink",
        "close; stays until unlink",
        "shmdt; stays until IPC_RMID",
        "munmap; stays until shm_unlink",
        "munmap",
    ),
    "synchronisation": ("none: 1 of 2", "nothing shared", "none: 1 of 2", *["none: 1 of 2"] * 3),
    "file lock on it": ("excludes", "excludes", "excludes", "no descriptor", "excludes", "no descriptor"),
    "portability": ("POSIX", "POSIX", "POSIX", "XSI option", "POSIX", "not in POSIX 2008"),
}
"""By property, what is expected of each of `REGIONS`; an observation agrees that begins with it."""


def claimed(name: str, region: str) -> str:
    """What is expected."""
    return CLAIMS[name][REGIONS.index(region)]
