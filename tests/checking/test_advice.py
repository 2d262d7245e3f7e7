"""Every piece of advice, and the nearest situation in which it is not given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from lab.checking.verdict.advice import advice
from lab.checking.verdict.evidence import NOT_REACHED
from lab.records import CheckVerdict, Stuck
from tests.checking.advised import (
    ALL_EXCLUDE,
    ONE,
    OUTLIVED,
    TWO,
    UNWOKEN,
    check_advice,
    given,
    keeping,
    losing,
    lying,
    said,
)
from tests.report.checked_records import CALLS, STUCK, case, guarantee, mounts, race, rule

GRANTED = rule(18, "posix", "unsafe", expected="EAGAIN or EACCES", observed="granted")
WRONG_ERRNO = rule(18, "posix", "unsafe", expected="success", observed="EINVAL")
OFD_CALLS = ["A: F_OFD_SETLK f write 0 10 = granted", "A: close f = ok", "B: F_OFD_SETLK f write 0 1 = EAGAIN"]
OFD_STAYS = rule(50, "ofd", "unsafe", expected="success", observed="EAGAIN", calls=OFD_CALLS)
STALE = [losing("mapping", "mapped")]
FALSE_DEADLOCK = race("posix", raced=case(false_deadlocks=1))
WITHOUT_LOCK: list[dict[str, Any]] = [{}, {"overlaps": 3}, {"overlaps": 3, "lost": 5}]
INCOHERENT = "a mapping is not coherent (50.0 % of updates lost)."

SQLITE: dict[str, CheckVerdict] = dict.fromkeys(("ranges", "pread", "size", "entries", "mapping"), "safe")
LOCK_FILES: dict[str, CheckVerdict] = dict.fromkeys(("o_excl", "mkdir", "link"), "safe")
USES: list[tuple[str, Sequence[str], dict[str, CheckVerdict], list[str], list[str]]] = [
    ("safe", ONE, {**SQLITE, **LOCK_FILES, "rename": "safe", "append": "safe"},
        ["Safe here, as far as it was tried: SQLite with a rollback journal, SQLite in WAL mode, saving by rename, "
         "append logs (O_APPEND without a lock) and lock files (O_EXCL, mkdir and link)."],
        ["unsafe here", "one host"]),
    ("safe on two mounts, but for WAL", TWO, SQLITE,
        ["Safe here, as far as it was tried: SQLite with a rollback journal.",
         "SQLite in WAL mode is for the processes of one host only"], ["unsafe here"]),
    ("unsafe, and another is safe", ONE, {**SQLITE, "mapping": "unsafe"}, ["use the rollback journal (PRAGMA"], []),
    ("unsafe like another", ONE, {**SQLITE, "pread": "unsafe"},
        ["SQLite with a rollback journal and SQLite in WAL mode: unsafe here, because pread and pwrite lose updates "
         "under a lock; keep the database on one host's own"], []),
    *((f"unsafe for its {name}", ONE, {**SQLITE, name: "unsafe"},
        [f"SQLite with a rollback journal: unsafe here, because {why};",
         "Safe here, as far as it was tried: SQLite in WAL"],
        []) for name, why in (("size", "a size may be old inside a lock"), ("entries", "names come or go late"))),
    ("not possible", ONE, {**SQLITE, "mapping": "unsupported"},
        ["SQLite in WAL mode: not possible here, because files cannot be mapped; use the rollback journal"], []),
    ("not known", ONE, {**SQLITE, "pread": "unknown"}, [], ["SQLite"]),
    ("not asked", ONE, {"pread": "safe"}, [], ["Safe here", "SQLite"]),
    ("a log, which needs a lock", ONE, {"append": "unsafe", "size": "safe", "pread": "safe"},
        ["Append logs (O_APPEND without a lock): unsafe here, because appended records overwrite each other; "
         "append under a lock: fstat, pwrite"], []),
    ("a log, which no lock helps", ONE, {"append": "unsafe", "size": "unsafe", "pread": "safe"},
        ["let one process write the log"], ["append under a lock"]),
    ("a lock file by another call", TWO, {**LOCK_FILES, "o_excl": "unsafe"},
        ["Lock files: O_EXCL lets two in between these mounts; make them with mkdir or link."], ["Safe here"]),
    ("a lock file by no call", ONE, dict.fromkeys(LOCK_FILES, "unsafe"),
        ["Lock files: O_EXCL, mkdir and link let two in; use a lock of the kernel, if one excludes here."], []),
    ("a name that may be missing", ONE, {"rename": "unsafe"}, ["Saving by rename: unsafe here, because a name may be "
        "missing or torn while it is replaced; let readers try again"], []),
]  # fmt: skip

ADVICE: dict[str, tuple[partial[str], list[str], list[str]]] = {
    "one thing is unknown": (given(**ALL_EXCLUDE, mapping="unknown"), [], ["All that was asked"]),
    "locks are granted twice between mounts": (given(*TWO, stress=[lying()], posix="unsafe"),
        ["POSIX locks are granted twice between these mounts. Check one directory alone",
         "local to each mount, and exclude nobody on another host"], []),
    "locks are granted twice on one": (given("fuse", stress=[lying()], posix="unsafe"), [], ["local to each mount"]),
    "a rule saw a lock granted twice": (given(rules=[GRANTED], posix="unsafe"), ["granted to two at once here"], []),
    "a rule saw another error": (given(rules=[WRONG_ERRNO], posix="unsafe"), [], ["granted to two"]),
    "two locks exclude": (given(stress=[lying(), keeping("ofd", 100), keeping("flock", 100)], posix="unsafe",
        ofd="safe", flock="safe"), ["Use open file description locks and flock"],
        ["No lock", "not tried often enough"]),
    "no lock excludes, and that is all that is said": (given(stress=[lying()], rules=[UNWOKEN, OUTLIVED],
        posix="unsafe", ranges="unsafe", death="unsafe"),
        ["No lock that was tried excludes here: let one process do all the writing"], ["Ranges", "outlive", "woken"]),
    "a lock is broken, but lets nobody in": (given(rules=[UNWOKEN], posix="unsafe", blocking="unsafe"),
        ["Who waits is not always woken: ask without waiting"], ["No lock"]),
    "a mapping is not coherent, and pread is exact": (given(*TWO, stress=STALE, **ALL_EXCLUDE, mapping="unsafe",
        pread="safe", remapped="safe"),
        [f"Locks exclude between these mounts, but {INCOHERENT}",
         "Safe: pread and pwrite under the lock and the file opened and closed inside",
         "Reopen the file inside a lock on another file: open, map, work, msync, close, then unlock."],
        ["writeback_cache"]),
    "no access is safe": (given("nfs4", "nfs4", stress=[*STALE, losing("remapped", "remapped")], **ALL_EXCLUDE,
        mapping="unsafe", pread="unsafe", remapped="unsafe"),
        ["No way to reach the data that was tried is safe.", "lock the data file itself"], ["Reopen the file"]),
    "data is lost on gluster": (given("fuse.glusterfs", stress=[losing("pread", "stream")], **ALL_EXCLUDE,
        pread="unsafe"), ["performance translators"], ["writeback_cache"]),
    "data is lost where no lock excludes": (given(stress=[lying(), *STALE], posix="unsafe", mapping="unsafe"),
        [], ["not coherent"]),
    "data is lost beside a lock that lies": (given(stress=[lying(), *STALE], posix="unsafe", flock="safe",
        mapping="unsafe"), [f"No two held a lock, but {INCOHERENT}"], ["Locks exclude"]),
    "neighbours overwrite each other": (given(stress=[losing("neighbours", "mapped")], **ALL_EXCLUDE,
        neighbours="unsafe"), ["4,096 bytes apart"], []),
    "neighbours are unknown": (given(stress=[losing("neighbours", "mapped")], **ALL_EXCLUDE, neighbours="unknown"),
        [], ["4,096"]),
    **{f"neighbours have no lock: {how}": (given(stress=[lying(), race("neighbours", "mapped", case(**how))],
        posix="unsafe", flock="safe", neighbours="unsafe"), [], ["Neighbours"])
        for how in WITHOUT_LOCK},
    "files cannot be mapped": (given(**ALL_EXCLUDE, mapping="unsupported", pread="safe"),
        ["use pread and pwrite under the lock"], []),
    "nor read": (given(**ALL_EXCLUDE, mapping="unsupported", pread="unsafe"), ["use another filesystem"], []),
    "a lock is refused": (given(posix="unsupported", ofd="safe", mapping="unsupported", deadlock="unsupported"),
        ["Not supported, with an error: POSIX locks.", "use open file description locks"],
        ["cannot be mapped", "deadlock"]),
    "an ofd lock stays": (given(rules=[OFD_STAYS], posix="safe", ofd="unsafe"),
        ["stay when their descriptor is closed"], []),
    **{f"an ofd lock {about}": (given(rules=[rule(50, "ofd", "unsafe", expected=expected, observed=observed,
        calls=calls)], posix="safe", ofd="unsafe"), [], ["stay when their descriptor is closed"])
        for about, expected, observed, calls in (
            ("is granted twice", "EAGAIN", "granted", OFD_CALLS),
            ("was not closed", "success", "EAGAIN", [OFD_CALLS[0], OFD_CALLS[2]]),
            ("is none", "success", "EAGAIN", [*CALLS[:2], *OFD_CALLS[1:]]))},
    "a race met a false deadlock": (given(stress=[FALSE_DEADLOCK]), ["EDEADLK comes where there is no cycle"], []),
    "a rule met one": (given(rules=[rule(46, "deadlock", "unsafe", observed="EDEADLK")]), ["EDEADLK comes"], []),
    "neither met one": (given(stress=[race("posix")], rules=[rule(46, "deadlock")]), [], ["EDEADLK comes"]),
    "a process is stuck": (given("fuse", stuck=[STUCK], death="unsafe"),
        ["get rid of the process that does not end on SIGKILL: umount -f /mnt/0, or write 1 to /sys/fs/fuse"], []),
    **{f"a use is {verdict}": (given(*kinds, **ALL_EXCLUDE, **found), words, others)
        for verdict, kinds, found, words, others in USES},
    "two are": (given("fuse", stuck=[STUCK, Stuck(2, "do_wait")], death="unsafe"),
        ["the 2 processes that do not end"], []),
    "one is, not on FUSE": (given("nfs4", stuck=[STUCK], death="unsafe"), ["get rid"], ["/sys/fs/fuse"]),
    "none is": (given("fuse", death="unsafe"), [], ["get rid"]),
}  # fmt: skip


def test_where_all_is_safe_it_is_said_how_far_that_goes() -> None:
    alone = said(**ALL_EXCLUDE, mapping="safe")
    assert alone.startswith("All that was asked is safe on this mount, among the processes of this host.")
    assert "give a second mount of it as another DIR" in alone
    assert said(*TWO, **ALL_EXCLUDE, mapping="safe") == "All that was asked is safe between these mounts."


@pytest.mark.parametrize("about", ADVICE)
def test_what_is_advised_and_what_is_not_where(about: str) -> None:
    check_advice(*ADVICE[about])


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("nfs4", "local_lock=none"), ("fuse.sshfs", "`lock`, `flock`"), ("cifs", "nobrl"), ("overlay", "upper or lower")],
)
def test_what_to_look_at_depends_on_the_filesystem(kind: str, hint: str) -> None:
    assert hint in said(kind, kind, stress=[lying()], posix="unsafe")
    assert hint not in said("ext4", "ext4", stress=[lying()], posix="unsafe")


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("ranges", "unsafe", "lock the whole file"),
        ("modes", "unsafe", "open for writing what is locked for writing"),
        ("ownership", "unsafe", "one descriptor a file and process"),
        ("deadlock", "unsupported", "take locks in one order everywhere"),
        ("entries", "unsafe", "compare st_ino"),
        ("ranges", "unknown", "Not all was found out"),
    ],
)
def test_other_guarantees_that_are_not_kept_have_their_own_advice(name: str, verdict: CheckVerdict, words: str) -> None:
    assert words in said(**ALL_EXCLUDE, **{name: verdict})
    assert words not in said(**ALL_EXCLUDE, **{name: "safe"})


def test_more_seconds_are_advised_only_where_they_help() -> None:
    asleep = guarantee("posix", "unknown", "stress: no request met a holder; raise --seconds or --workers")
    full = guarantee("mapping", "unknown", "counter under fcntl, mapped: the filesystem is full")
    (longer,) = advice([asleep, full], mounts("ext4"))
    (fixed,) = advice([full], mounts("ext4"))
    assert longer.endswith("Give more --seconds, or fix what is named there and check again.")
    assert fixed.endswith("the evidence says why. Fix what is named there and check again.")
    (ended,) = advice([guarantee("posix", "unknown", NOT_REACHED)], mounts("ext4"))
    assert ended.endswith("the evidence says why. Let the check end.")


def test_every_sentence_ends_and_none_comes_twice() -> None:
    verdicts: dict[str, CheckVerdict] = {"ranges": "unsafe", "deadlock": "unsupported", "neighbours": "unsafe"}
    lines = said(stress=[losing("neighbours", "mapped")], **ALL_EXCLUDE, **verdicts).splitlines()
    assert len(set(lines)) == len(lines) == 4
    assert all(line.endswith(".") for line in lines)
