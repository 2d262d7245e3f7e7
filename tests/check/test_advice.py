"""Every piece of advice, and the nearest situation in which it is not given."""

from __future__ import annotations

from typing import Any

import pytest

from lab.check.verdict.advice import advice
from lab.check.verdict.evidence import NOT_REACHED
from lab.records import Answered, Stuck
from tests.check.advised import ALL_EXCLUDE, OUTLIVED, TWO, UNWOKEN, keeping, losing, lying, said
from tests.report.checked_records import CALLS, STUCK, case, guarantee, mounts, race, rule


def test_where_all_is_safe_it_is_said_how_far_that_goes() -> None:
    alone = said(**ALL_EXCLUDE, mapping="safe")
    assert alone.startswith("All that was asked is safe on this mount, among the processes of this host.")
    assert "give a second mount of it as another DIR" in alone
    assert said(*TWO, **ALL_EXCLUDE, mapping="safe") == "All that was asked is safe between these mounts."


def test_where_one_thing_is_not_safe_it_is_not_said_that_all_is() -> None:
    assert "All that was asked" not in said(**ALL_EXCLUDE, mapping="unknown")


def test_locks_granted_twice_between_mounts_may_be_local_to_each() -> None:
    told = said(*TWO, stress=[lying()], posix="unsafe")
    assert "POSIX locks are granted twice between these mounts. Check one directory alone" in told
    assert "local to each mount, and exclude nobody on another host" in told
    assert "local to each mount" not in said("fuse", stress=[lying()], posix="unsafe")


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("nfs4", "local_lock=none"), ("fuse.sshfs", "`lock`, `flock`"), ("cifs", "nobrl"), ("overlay", "upper or lower")],
)
def test_what_to_look_at_depends_on_the_filesystem(kind: str, hint: str) -> None:
    assert hint in said(kind, kind, stress=[lying()], posix="unsafe")
    assert hint not in said("ext4", "ext4", stress=[lying()], posix="unsafe")


def test_a_lock_that_a_rule_saw_granted_twice_needs_no_stress_to_be_called_so() -> None:
    broken = rule(18, "posix", "unsafe", expected="EAGAIN or EACCES", observed="granted")
    assert "granted to two at once here" in said(rules=[broken], posix="unsafe")
    other = rule(18, "posix", "unsafe", expected="success", observed="EINVAL")
    assert "granted to two" not in said(rules=[other], posix="unsafe")


def test_a_lock_that_excludes_is_named_beside_those_that_do_not() -> None:
    told = said(stress=[lying(), keeping("ofd", 100), keeping("flock", 100)], posix="unsafe", ofd="safe", flock="safe")
    assert "Use open file description locks and flock" in told
    assert "No lock" not in told
    assert "not tried often enough" not in told


def test_where_none_excludes_that_is_all_that_is_said_of_the_rest() -> None:
    told = said(stress=[lying()], rules=[UNWOKEN, OUTLIVED], posix="unsafe", ranges="unsafe", death="unsafe")
    assert "No lock that was tried excludes here: let one process do all the writing" in told
    assert "Ranges" not in told
    assert "outlive" not in told
    assert "woken" not in told


def test_a_lock_that_is_broken_otherwise_than_by_letting_two_in_is_not_said_to() -> None:
    told = said(rules=[UNWOKEN], posix="unsafe", blocking="unsafe")
    assert "No lock" not in told
    assert "Who waits is not always woken: ask without waiting" in told


def test_a_mapping_that_is_not_coherent_is_told_with_what_is_lost_and_what_is_safe() -> None:
    told = said(
        *TWO, stress=[losing("mapping", "mapped")], **ALL_EXCLUDE, mapping="unsafe", pread="safe", remapped="safe"
    )
    assert "Locks exclude between these mounts, but a mapping is not coherent (50.0 % of updates lost)." in told
    assert "Safe: pread and pwrite under the lock and a mapping of the file opened and closed inside" in told
    assert "Reopen the file inside a lock on another file: open, map, work, msync, close, then unlock." in told
    assert "writeback_cache" not in told  # pread is exact: it is not that


def test_reopening_is_not_advised_where_it_is_not_safe() -> None:
    rows = [losing("mapping", "mapped"), losing("remapped", "remapped")]
    told = said("nfs4", "nfs4", stress=rows, **ALL_EXCLUDE, mapping="unsafe", pread="unsafe", remapped="unsafe")
    assert "Reopen the file" not in told
    assert "No way to reach the data that was tried is safe." in told
    assert "lock the data file itself" in told


def test_gluster_has_its_own_options_and_not_those_of_other_fuse_servers() -> None:
    told = said("fuse.glusterfs", stress=[losing("pread", "stream")], **ALL_EXCLUDE, pread="unsafe")
    assert "performance translators" in told
    assert "writeback_cache" not in told


def test_data_is_not_called_incoherent_where_no_lock_excludes() -> None:
    told = said(stress=[lying(), losing("mapping", "mapped")], posix="unsafe", mapping="unsafe")
    assert "not coherent" not in told


def test_neighbours_are_to_be_kept_a_page_apart() -> None:
    assert "4,096 bytes apart" in said(stress=[losing("neighbours", "mapped")], **ALL_EXCLUDE, neighbours="unsafe")
    assert "4,096" not in said(stress=[losing("neighbours", "mapped")], **ALL_EXCLUDE, neighbours="unknown")


@pytest.mark.parametrize("how", [{}, {"overlaps": 3}, {"overlaps": 3, "lost": 5}])
def test_neighbours_that_are_unsafe_for_want_of_a_lock_are_not_said_to_overwrite_each_other(how: Any) -> None:
    rows = [lying(), race("neighbours", "mapped", case(**how))]
    told = said(stress=rows, posix="unsafe", flock="safe", neighbours="unsafe")
    assert "Neighbours" not in told


def test_data_that_broke_beside_a_lock_that_lies_is_not_said_to_break_though_locks_exclude() -> None:
    told = said(stress=[lying(), losing("mapping", "mapped")], posix="unsafe", flock="safe", mapping="unsafe")
    assert "No two held a lock, but a mapping is not coherent (50.0 % of updates lost)." in told
    assert "Locks exclude" not in told


def test_where_files_cannot_be_mapped_pread_is_advised() -> None:
    assert "use pread and pwrite under the lock" in said(**ALL_EXCLUDE, mapping="unsupported", pread="safe")
    assert "use another filesystem" in said(**ALL_EXCLUDE, mapping="unsupported", pread="unsafe")


def test_a_refused_lock_is_told_as_that_and_not_as_a_missing_mapping() -> None:
    told = said(posix="unsupported", ofd="safe", mapping="unsupported", deadlock="unsupported")
    assert "Refused, loudly: POSIX locks." in told
    assert "use open file description locks" in told
    assert "cannot be mapped" not in told
    assert "deadlock" not in told


OFD_CALLS = ["A: F_OFD_SETLK f write 0 10 = granted", "A: close f = ok", "B: F_OFD_SETLK f write 0 1 = EAGAIN"]


def test_open_file_description_locks_that_stay_are_told() -> None:
    leak = rule(50, "ofd", "unsafe", expected="success", observed="EAGAIN", calls=OFD_CALLS)
    assert "stay when their descriptor is closed" in said(rules=[leak], posix="safe", ofd="unsafe")


@pytest.mark.parametrize(
    "how",
    [
        {"expected": "EAGAIN", "observed": "granted", "calls": OFD_CALLS},
        {"expected": "success", "observed": "EAGAIN", "calls": [OFD_CALLS[0], OFD_CALLS[2]]},
        {"expected": "success", "observed": "EAGAIN", "calls": [*CALLS[:2], *OFD_CALLS[1:]]},
    ],
)
def test_what_was_not_closed_or_is_no_such_lock_is_no_leak(how: dict[str, object]) -> None:
    told = said(rules=[rule(50, "ofd", "unsafe", **how)], posix="safe", ofd="unsafe")
    assert "stay when their descriptor is closed" not in told


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("ranges", "unsafe", "lock the whole file"),
        ("modes", "unsafe", "open for writing what is locked for writing"),
        ("ownership", "unsafe", "one descriptor a file and process"),
        ("deadlock", "unsupported", "take locks in one order everywhere"),
        ("names", "unsafe", "compare st_ino"),
        ("ranges", "unknown", "Not all was found out"),
    ],
)
def test_other_guarantees_that_are_not_kept_have_their_own_advice(name: str, verdict: Answered, words: str) -> None:
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


def test_a_deadlock_that_is_made_up_is_told() -> None:
    assert "EDEADLK comes where there is no cycle" in said(stress=[race("posix", raced=case(false_deadlocks=1))])
    assert "EDEADLK comes" in said(rules=[rule(46, "deadlock", "unsafe", observed="EDEADLK")])
    assert "EDEADLK comes" not in said(stress=[race("posix")], rules=[rule(46, "deadlock")])


def test_how_to_get_rid_of_what_is_stuck_is_told() -> None:
    told = said("fuse", stuck=[STUCK], death="unsafe")
    assert (
        "To get rid of the process that does not end on SIGKILL: umount -f /mnt/0, or write 1 to /sys/fs/fuse" in told
    )
    assert "the 2 processes that do not end" in said("fuse", stuck=[STUCK, Stuck(2, "do_wait")], death="unsafe")
    assert "/sys/fs/fuse" not in said("nfs4", stuck=[STUCK], death="unsafe")
    assert "get rid" not in said("fuse", death="unsafe")


def test_every_sentence_ends_and_none_comes_twice() -> None:
    verdicts: dict[str, Answered] = {"ranges": "unsafe", "deadlock": "unsupported", "neighbours": "unsafe"}
    lines = said(stress=[losing("neighbours", "mapped")], **ALL_EXCLUDE, **verdicts).splitlines()
    assert len(set(lines)) == len(lines) == 3
    assert all(line.endswith(".") for line in lines)
