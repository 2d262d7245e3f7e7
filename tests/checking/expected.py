"""What a check says of each filesystem of the tests, as a table: a row a filesystem, a column a guarantee.

    s  safe      U  UNSAFE      n  not supported      ?  not found out
    *  by chance: such a server breaks it once in a while, and a check of a few seconds sees it or does not

A server that does not notice deadlocks has an n there, as POSIX allows. Data is raced under a lock that was not seen
lying; where all of them were it is unsafe too, and by chance on servers whose lies are too rare: those are a * as well.
"""

from __future__ import annotations

from lab.checking.guarantees import FILES, LOCKS

COLUMNS = [*LOCKS, *FILES]

TABLE = """
                             pos ofd flo ran mod own blo dea dth pre map mix reo rep who nei app siz oxc mkd lnk ren ent
    ext4                      s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    ext4_loop                 s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    tmpfs                     s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    xfs                       s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    btrfs                     s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    overlay                   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    overlay_upper             U   U   U   U   U   U   U   U   U   U   U   U   U   *   U   *   *   U   *   *   *   *   U
    bind                      s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    bind_pair                 s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s
    bindfs                    s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    bindfs_two                U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   *   U   *   *   *   *   U
    sshfs                     s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    sshfs_two                 U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   *   U   *   *   *   *   U
    fuse_honest               s   s   s   s   s   s   s   n   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_honest_two           s   s   s   s   s   s   s   n   s   s   U   U   s   s   s   *   s   s   s   s   s   *   s
    fuse_no_lock              s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_no_lock_two          U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   s   U   s   s   s   *   U
    fuse_always               U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   s   U   s   s   s   *   U
    fuse_always_two           U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   U   s   U   s   s   s   *   U
    fuse_lies_100             U   U   U   *   *   *   *   *   *   U   U   *   U   U   *   U   s   *   s   s   s   *   *
    fuse_lies_100_two         U   U   U   *   *   *   *   *   *   U   U   U   U   U   *   U   s   *   s   s   s   *   *
    fuse_lies_1000            *   *   *   *   *   *   *   *   *   *   *   *   *   *   *   *   s   *   s   s   s   *   *
    fuse_lies_1000_two        *   *   *   *   *   *   *   *   *   *   U   U   *   *   *   U   s   *   s   s   s   *   *
    fuse_enosys               n   n   n   n   n   n   n   n   n   n   n   n   n   n   n   n   s   n   s   s   s   *   n
    fuse_enosys_two           n   n   n   n   n   n   n   n   n   n   n   n   n   n   n   n   s   n   s   s   s   *   n
    fuse_writeback            s   s   s   s   s   s   s   n   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_writeback_two        s   s   s   s   s   *   s   n   s   U   U   U   s   s   *   U   U   U   s   s   s   U   U
    fuse_direct_io            s   s   s   s   s   s   s   n   s   s   n   n   n   s   s   s   s   s   s   s   s   *   s
    fuse_direct_io_two        s   s   s   s   s   s   s   n   s   s   n   n   n   s   s   s   s   s   s   s   s   *   s
    fuse_whole_file           U   U   s   U   U   U   U   U   U   *   *   *   *   *   *   *   s   *   s   s   s   *   *
    fuse_whole_file_two       U   U   s   U   U   U   U   U   U   *   U   U   *   *   s   U   s   s   s   s   s   *   s
    fuse_no_merge             s   s   s   s   s   s   s   n   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_no_merge_two         s   s   s   s   s   s   s   n   s   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_forgets_on_close     U   U   U   s   s   U   *   n   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_forgets_on_close_two U   U   U   s   s   U   *   n   s   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_leaks_ofd            s   U   s   *   s   *   *   n   U   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_leaks_ofd_two        s   U   s   *   s   *   *   n   U   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_false_deadlock       *   *   *   *   s   *   *   U   *   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_false_deadlock_two   *   *   *   *   s   *   *   U   *   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_slow                 s   s   s   s   s   s   s   n   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_no_rename            s   s   s   s   s   s   s   n   s   s   s   s   s   s   s   s   s   s   s   s   s   n   n
    fuse_posix_alone_two      s   s   U   s   s   s   U   n   U   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_flock_alone_two      U   U   s   U   U   U   U   U   U   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_kept_two             s   U   U   *   s   U   U   n   U   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_staged_two           s   s   s   s   s   s   s   n   s   U   U   U   s   *   s   U   U   U   s   s   s   *   s
    fuse_wakes_nobody         s   s   s   s   s   s   U   n   s   s   s   s   s   s   s   s   s   s   s   s   s   *   s
    fuse_wakes_nobody_two     s   s   s   s   s   s   U   n   s   s   U   U   s   s   s   U   s   s   s   s   s   *   s
    fuse_never_answers        ?   ?   ?   ?   ?   ?   U   ?   ?   ?   ?   *   ?   ?   *   ?   *   *   *   *   *   *   *
    fuse_never_answers_two    ?   ?   ?   ?   ?   ?   U   ?   ?   ?   ?   *   ?   ?   *   ?   *   *   *   *   *   *   *
"""

LETTERS = {"s": "safe", "U": "unsafe", "n": "unsupported", "?": "unknown", "*": ""}


def _rows() -> dict[str, dict[str, str]]:
    rows = [line.split() for line in TABLE.splitlines()[2:] if line.strip()]
    return {name: dict(zip(COLUMNS, (LETTERS[cell] for cell in cells), strict=True)) for name, *cells in rows}


EXPECTED = _rows()
"""Filesystem, guarantee, verdict; the verdict is empty where it is by chance."""

BREAKS: dict[str, set[int]] = {
    "overlay_upper": {18, 39, 67, 76},
    "bindfs_two": {18, 39, 49, 55, 67},
    "sshfs_two": {18, 39, 49, 55, 67},
    "fuse_honest_two": {61, 65, 68},
    "fuse_no_lock_two": {18, 39, 49, 55, 67},
    "fuse_always": {18, 39, 49, 55, 67},
    "fuse_lies_100": {67},
    "fuse_lies_1000": {67},
    "fuse_writeback_two": {61, 65, 68},
    "fuse_whole_file": {2, 4, 10, 19, 40},
    "fuse_no_merge": {83},
    "fuse_posix_alone_two": {26, 55, 67},
    "fuse_flock_alone_two": {18, 39, 49, 67},
    "fuse_kept_two": {30, 35, 69},
    "fuse_staged_two": {59, 61},
    "fuse_forgets_on_close": {32},
    "fuse_leaks_ofd": {50, 69},
    "fuse_false_deadlock": {46},
    "fuse_wakes_nobody": {20, 23, 49, 55},
    "fuse_never_answers": {1},
}
"""The rules that are named where the server is broken so; on two mounts the same, and maybe more."""

ASLEEP, OUTLIVES = "Who waits is not always woken", "A lock may outlive its owner"
ADVICE: dict[str, tuple[str, tuple[str, ...]]] = {
    "fuse_forgets_on_close": ("granted to two at once", ("only sometimes", "0 %", ASLEEP, OUTLIVES)),
    "fuse_whole_file": ("Ranges are not kept apart", (ASLEEP, OUTLIVES, "Wrong requests", "follow their owner")),
    "fuse_leaks_ofd": ("locks stay when their descriptor is closed", ("granted",)),
    "fuse_false_deadlock": ("EDEADLK comes where there is no cycle", (ASLEEP, OUTLIVES)),
    "fuse_kept_two": (OUTLIVES, ()),
    "fuse_staged_two": ("open, pread, pwrite, close", ("No lock that was tried excludes",)),
    "fuse_flock_alone_two": ("Use flock", ("No lock that was tried excludes",)),
    "fuse_wakes_nobody": (ASLEEP, (OUTLIVES, "descriptor is closed", "--seconds", "not answered")),
    "fuse_never_answers": (
        "are not answered here",
        (ASLEEP, OUTLIVES, "Ranges are not", "--seconds"),
    ),
}
"""What is advised where the server is broken so, and what is not, on one mount: it did not happen there."""
