"""What the chapter says of each way to share bytes, property by property."""

from __future__ import annotations

from lab.results import Property

REGIONS = ("mapped", "private", "stream", "sysv", "posix", "anonymous")

PROPERTIES = (
    Property("backing store", "what /proc/self/maps names as mapped, and the type of the filesystem"),
    Property("set-up", "the owner makes these calls, and they work"),
    Property("key", "what a stranger, forked before there was anything, finds the bytes by"),
    Property("seen by others", "the owner stores; the stranger loads, and so does a child of the owner"),
    Property("in the file", "the owner has stored; read(2) through a descriptor of its own"),
    Property("persistence", "all who had it have exited; a new process looks by the key"),
    Property("key removed", "while one process is attached: what that one loads, and what a new one finds"),
    Property("clean-up", "these calls leave nothing; the removal worked, and worked only once"),
    Property("synchronisation", "two processes load, then each adds 1: what arrived of the 2"),
    Property("file lock on it", "F_SETLK by two processes, each on the descriptor that it has of it"),
    Property("portability", "sysconf(3): the version of POSIX that this system says it keeps"),
)

CLAIMS = {
    "backing store": ("a file", "a file", "a file", "kernel memory", "kernel memory", "kernel memory"),
    "set-up": ("open, mmap", "open, mmap", "open", "ftok, shmget, shmat", "shm_open, ftruncate, mmap", "mmap"),
    "key": ("the file's name", "the file's name", "the file's name", "ftok()", "a name", "none"),
    "seen by others": ("yes", "no", "yes", "yes", "yes", "by children"),
    "in the file": ("yes", "no", "yes", "no file", "no file", "no file"),
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
    "portability": ("POSIX", "POSIX", "POSIX", "XSI", "POSIX", "not in POSIX 2008"),
}
"""By property, a claim for each of `REGIONS`; an observation agrees that begins with it."""


def claimed(name: str, region: str) -> str:
    """The claim; empty where there is none."""
    return CLAIMS[name][REGIONS.index(region)]
