"""Put together the sentences of the advice, from a table of situations and sentences.

The fixes are those that worked when tried: on NFS the lock on the data file itself makes a mapping exact, on FUSE and
GlusterFS it needs a file that is remapped inside a lock on another one.

Each use of files (SQLite, lock files, saving by rename, append logs) needs some guarantees. It is safe where all of
them are, and unsafe where one is, which is then the reason. Where a guarantee was not asked, or is unknown, nothing is
said of the uses that need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lab.analysis.statistics import joined, rate
from lab.checking.guarantees import EXCLUSION, LOCK_FILES
from lab.records import Guarantee, LockProbe, Mount, PartitionResult, RuleResult, StressResult, Stuck, TurnResult

from .between_hosts import advice_of, advice_of_cuts
from .evidence import NOT_REACHED, hangs, misreports
from .situation import Situation, spoken

LOCK_OPTIONS = {
    "nfs": "on NFS look for local_lock=none, and against nolock (nfs(5))",
    "fuse": "the FUSE server has to answer the requests lock and flock itself (libfuse: `lock`, `flock`), else each "
    "kernel keeps the locks of its own mount",
    "cifs": "on SMB look against nobrl and for cache=none (mount.cifs(8))",
    "overlay": "do not use the upper or lower directory of an overlay beside the merged one",
}
"""Settings to check where locks do not exclude between mounts, by the filesystem's type."""

DATA_OPTIONS = {
    "nfs": "on NFS lock the data file itself, not another one: that makes the client read anew; or mount with noac",
    "fuse": "on FUSE mount without writeback_cache; with direct_io pread and pwrite are exact and mappings are refused",
    "fuse.glusterfs": "on GlusterFS turn the performance translators off, and mount with direct-io-mode=enable for "
    "pread and pwrite, or with fopen-keep-cache off for mappings remapped inside the lock",
}
"""Settings to check where locks exclude and the data is not shared, by the filesystem's type."""


def all_safe(here: Situation) -> str:
    """Say that all of it is safe, and what was not tried."""
    where = here.between if here.several else "on this mount, among the processes of this host"
    more = "" if here.several else " What another host sees was not tried: give a second mount of it as another DIR."
    return f"All that was asked is safe {where}.{more}"


def lying_between(here: Situation) -> str:
    """Name the locks that each mount keeps to itself, and the settings to check."""
    hints = "; ".join(_by_kind(here, LOCK_OPTIONS))
    if here.on_hosts:
        twice = f"{_first(spoken(here.plainly_lying))} granted twice between these hosts"
        return f"{twice}: each host keeps such locks to itself" + (f". To look at: {hints}." if hints else ".")
    return (
        f"{_first(spoken(here.plainly_lying))} granted twice between these mounts. Check one directory alone: if safe "
        "there, the locks are local to each mount, and exclude nobody on another host"
        + (f". To look at: {hints}." if hints else ".")
    )


def lying(here: Situation) -> str:
    """Name the locks that were granted twice on one mount."""
    return f"{_first(spoken(here.plainly_lying))} granted to two at once here: do not rely on such a lock."


def seldom(here: Situation) -> str:
    """Name the locks that are sometimes granted falsely, and how often."""
    shares = joined([rate(here.share(name)) for name in here.seldom])
    return (
        f"{_first(spoken(here.seldom))} granted falsely, but only sometimes: to {shares} of those who met a holder. Do "
        "not use such a lock, however clean it looks in a shorter test."
    )


def use_instead(here: Situation) -> str:
    """Name the locks that exclude beside those that do not."""
    them = "them" if _is_plural(spoken(here.dependable)) else "it"
    return f"Use {spoken(here.dependable)}: what was tried of {them} excludes here; {spoken(here.failing)} may not be."


def tried_too_little(here: Situation) -> str:
    """Name the locks that may have been clean only by chance."""
    return (
        f"{_first(spoken(here.too_little_tried), 'was', 'were')} not tried often enough to tell: a false grant as rare "
        f"as that of {spoken(here.lying)} ({rate(here.rarest_false_grant)}) would not have shown. Give more --seconds."
    )


def no_lock(here: Situation) -> str:
    """Say that no lock excludes."""
    ways = "keep the data on one host's own filesystem" if here.several else "keep the data on another filesystem"
    return f"No lock that was tried excludes here: let one process do all the writing, or {ways}."


def incoherent(here: Situation) -> str:
    """Say that locks exclude and an access loses updates: which access, how many updates, and what is safe instead."""
    spoken_of = {
        "pread": "pread and pwrite are",
        "mapping": "a mapping is",
        "remapped": "a remapped mapping is",
        "remapped_pread": "pread and pwrite of a remapped file are",
        "mixed": "a mapping beside pread and pwrite is",
        "whole_file": "a file that is opened and synced inside the lock is",
    }
    told = joined([f"{spoken_of[name]} not coherent ({here.lost(name)})" for name in here.incoherent])
    between = f" {here.between}" if here.several else ""
    apart = "No two held a lock" if here.lying else "Locks exclude"
    safe = f"Safe: {joined(here.safe_ways)}." if here.safe_ways else "No way to reach the data that was tried is safe."
    hints = "; ".join(_by_kind(here, DATA_OPTIONS)) if {"pread", "remapped"} & {*here.incoherent} else ""
    return f"{apart}{between}, but {told}. {safe}" + (f" To look at: {hints}." if hints else "")


def reopen(here: Situation) -> str:
    """Describe how to remap the file, by each way that is safe."""
    ways = {
        "remapped": "open, map, work, msync, close",
        "remapped_pread": "open, pread, pwrite, close",
        "whole_file": "open, pread, pwrite, fsync, close",
    }
    safe = " (or ".join([way for name, way in ways.items() if here.is_(name, "safe")][:2])
    return f"Reopen the file inside a lock on another file: {safe}{')' * ('(' in safe)}, then unlock."


def unmapped(here: Situation) -> str:
    """Advise how to work without mappings."""
    instead = "use pread and pwrite under the lock" if here.is_("pread", "safe") else "use another filesystem"
    return f"Files cannot be mapped here (as under direct_io): {instead}."


def refused(here: Situation) -> str:
    """Name the locks that are not supported."""
    missing = spoken(here.are("unsupported", list(EXCLUSION)))
    instead = f"use {spoken(here.dependable)}" if here.dependable else "mount it with locks, or use another filesystem"
    return f"Not supported, with an error: {missing}. Programs must look at the error; {instead}."


def unanswered(here: Situation) -> str:
    """Name the locks whose requests are neither granted nor refused."""
    ends = ", and does not end on SIGKILL" if here.stuck else ""
    fuse = " (libfuse: `lock`, `flock`)" if here.of_kind("fuse") else ""
    return (
        f"Requests for {spoken(here.unanswered)} are not answered here: who makes one hangs though nobody is in the "
        f"way{ends}. Look whether the server of this mount lives and answers such requests{fuse}; use no such lock "
        "before it does, and then check again."
    )


def find_out(here: Situation) -> str:
    """Advise how to resolve what stayed unknown."""
    longer = "Give more --seconds, or fix" if here.wants_longer else "Fix"
    remedy = "Let the check end" if NOT_REACHED in here.doubts else f"{longer} what is named there and check again"
    return f"Not all was found out; the evidence says why. {remedy}."


def get_rid(here: Situation) -> str:
    """Advise how to end the processes that do not end on SIGKILL."""
    places = joined([mount.directory for mount in here.mounts])
    fuse = ", or write 1 to /sys/fs/fuse/connections/N/abort for its connection" if here.of_kind("fuse") else ""
    what = "the process that does" if len(here.stuck) == 1 else f"the {len(here.stuck)} processes that do"
    return f"To get rid of {what} not end on SIGKILL: umount -f {places}{fuse}."


def _by_kind(here: Situation, table: dict[str, str]) -> list[str]:
    """Return, for each mount, the sentence of the longest type that fits; each sentence once."""
    fitting = (
        max((kind for kind in table if mount.filesystem.startswith(kind)), key=len, default="") for mount in here.mounts
    )
    return [table[kind] for kind in dict.fromkeys(fitting) if kind]


def _first(text: str, one: str = "is", many: str = "are") -> str:
    """Return the subject with its verb."""
    return f"{text[0].upper()}{text[1:]} {many if _is_plural(text) else one}"


def _is_plural(text: str) -> bool:
    return text.endswith("locks") or " and " in text


PAGE = 4096

Line = tuple[Callable[[Situation], object], Callable[[Situation], str]]
"""The condition of a sentence, and the sentence."""


def advice(
    guarantees: Sequence[Guarantee],
    mounts: Sequence[Mount],
    rules: Sequence[RuleResult] = (),
    stress: Sequence[StressResult] = (),
    stuck: Sequence[Stuck] = (),
    probes: Sequence[LockProbe] = (),
    turns: Sequence[TurnResult] = (),
    partitions: Sequence[PartitionResult] = (),
    *,
    on_hosts: bool = False,
) -> list[str]:
    """Return the sentences that fit, the weightiest first."""
    here = Situation(guarantees, mounts, rules, stress, stuck, probes, turns, on_hosts)
    of_locks, of_the_rest = (*_ALL, *_LOCKS), (*_DATA, *_OTHERS)
    before, after = ([say(here) for fits, say in lines if fits(here)] for lines in (of_locks, of_the_rest))
    return [*before, *advice_of_cuts(partitions), *advice_of(turns), *uses(here), *after]


_ALL: tuple[Line, ...] = ((lambda here: here.guarantees and here.all_safe, all_safe),)

_LOCKS: tuple[Line, ...] = (
    (lambda here: here.unanswered, unanswered),
    (lambda here: here.several and here.plainly_lying, lying_between),
    (lambda here: not here.several and here.plainly_lying, lying),
    (lambda here: here.seldom, seldom),
    (lambda here: here.dependable and here.failing, use_instead),
    (lambda here: here.lying and here.too_little_tried, tried_too_little),
    (lambda here: here.lawless, no_lock),
    (lambda here: here.are("unsupported", list(EXCLUSION)), refused),
    (
        lambda here: here.leaks,
        lambda here: (
            "Open file description locks stay when their descriptor is closed: unlock before the close "
            "(F_OFD_SETLK with F_UNLCK), or use POSIX locks."
        ),
    ),
)

_DATA: tuple[Line, ...] = (
    (lambda here: here.incoherent, incoherent),
    (
        lambda here: (
            {"mapping", "pread"} & {*here.incoherent} and here.are("safe", ["remapped", "remapped_pread", "whole_file"])
        ),
        reopen,
    ),
    (
        lambda here: here.is_("neighbours", "unsafe") and here.lost("neighbours") and here.excluding,
        lambda here: (
            f"Neighbours in one page overwrite each other: keep data under different locks {PAGE:,} bytes "
            "apart, each from the start of a page."
        ),
    ),
    (lambda here: here.is_("mapping", "unsupported") and not here.are("unsupported", list(EXCLUSION)), unmapped),
)

_OTHERS: tuple[Line, ...] = (
    (
        lambda here: here.fails("ranges", hangs),
        lambda here: "Ranges are not kept apart as they should be: lock the whole file (start 0, length 0).",
    ),
    (
        lambda here: here.fails("modes", hangs, misreports),
        lambda here: (
            "Wrong requests are not refused as they should be: open for writing what is locked for writing, "
            "and do not rely on the error."
        ),
    ),
    (
        lambda here: here.fails("ownership", hangs, misreports),
        lambda here: (
            "Locks do not follow their owner as they should: one descriptor a file and process, no lock held "
            "over fork or exec, an unlock before each close."
        ),
    ),
    (
        lambda here: here.wakes_badly and not here.lawless,
        lambda here: (
            "Who waits is not always woken: ask without waiting (F_SETLK, LOCK_NB) and again after a pause, "
            "up to a time limit."
        ),
    ),
    (
        lambda here: here.is_("deadlock", "unsupported") and not here.is_("posix", "unsupported"),
        lambda here: (
            "A deadlock is not noticed (POSIX leaves that open): take locks in one order everywhere, or wait "
            "with a time limit."
        ),
    ),
    (
        lambda here: here.false_deadlocks,
        lambda here: "EDEADLK comes where there is no cycle: take it for a refusal, and ask again.",
    ),
    (
        lambda here: here.outlives and not here.lawless,
        lambda here: (
            "A lock may outlive its owner: plan for one that no process releases, by a time limit and a remount."
        ),
    ),
    (
        lambda here: here.fails("entries", hangs),
        lambda here: (
            "A name that was made again may lead to the old file on another mount: write into a locked file "
            "instead of replacing it, or use fresh names; compare st_ino of the name and the descriptor once locked."
        ),
    ),
    (
        lambda here: here.is_("size", "unsafe"),
        lambda here: "A size may be old inside the lock: keep the length of the data in the data itself.",
    ),
    (lambda here: here.stuck, get_rid),
    (lambda here: here.left_open, find_out),
)


@dataclass(frozen=True, slots=True)
class Use:
    """A use of files, the guarantees that it needs, and what to do where one of them is unsafe.

    With `one_host` the program itself allows the use for the processes of one host only.
    """

    title: str
    needs: tuple[str, ...]
    instead: str = ""
    one_host: bool = False


LOCAL = "keep the database on one host's own filesystem"

USES = (
    Use("SQLite with a rollback journal", ("posix", "ranges", "pread", "size", "entries"), LOCAL),
    Use("SQLite in WAL mode", ("posix", "ranges", "pread", "mapping"), LOCAL, one_host=True),
    Use(
        "saving by rename",
        ("rename",),
        "let readers try again where the name is missing, or read and save under a lock",
    ),
    Use("append logs (O_APPEND without a lock)", ("append",)),
)

BROKEN = {
    "posix": "POSIX locks do not exclude",
    "ranges": "byte ranges are not kept apart",
    "pread": "pread and pwrite lose updates under a lock",
    "mapping": "mappings lose updates under a lock",
    "size": "a size may be old inside a lock",
    "entries": "names come or go late",
    "rename": "a name may be missing or torn while it is replaced",
    "append": "appended records overwrite each other",
}
"""The reason that an unsafe guarantee is, in words."""

MISSING = {
    "posix": "there are no POSIX locks",
    "mapping": "files cannot be mapped",
    "rename": "there is no rename",
}
"""The reason that a guarantee is that is not supported."""

CALLS = {"o_excl": "O_EXCL", "mkdir": "mkdir", "link": "link"}
"""The calls that make a lock file, by the guarantee of each."""


def uses(here: Situation) -> Iterator[str]:
    """Yield a sentence on the uses that are safe, and one on each reason for which others are not."""
    safe = [use.title for use in USES if _is_safe(here, use)]
    by_file = [CALLS[name] for name in here.are("safe", list(LOCK_FILES))]
    if len(by_file) == len(CALLS):
        safe.append(f"lock files ({joined(by_file)})")
    if safe:
        yield f"Safe here, as far as it was tried: {joined(safe)}."
    grouped: dict[tuple[str, str], list[str]] = {}
    for use in USES:
        if why := _why_not(here, use):
            grouped.setdefault((why, _instead(here, use)), []).append(use.title)
    for (why, instead), titles in grouped.items():
        yield f"{_capital(joined(titles))}: {why}{'; ' * bool(instead)}{instead}."
    yield from _lock_files(here)
    for use in USES:
        if here.several and use.one_host and all(here.is_(name, "safe") for name in use.needs):
            yield f"{use.title} is for the processes of one host only, whatever was found here (sqlite.org/wal.html)."


def _is_safe(here: Situation, use: Use) -> bool:
    return all(here.is_(name, "safe") for name in use.needs) and not (use.one_host and here.several)


def _why_not(here: Situation, use: Use) -> str:
    """Return why the use is not safe; empty where it is, or where that is not known."""
    if broken := here.are("unsafe", use.needs):
        return f"unsafe here, because {joined([BROKEN[name] for name in broken])}"
    missing = [MISSING[name] for name in here.are("unsupported", use.needs) if name in MISSING]
    return f"not possible here, because {missing[0]}" if missing else ""


def _instead(here: Situation, use: Use) -> str:
    if use.needs == ("append",):
        locked = here.is_("size", "safe") and here.is_("pread", "safe")
        return "append under a lock: fstat, pwrite at that size, unlock" if locked else "let one process write the log"
    if use.one_host and _is_safe(here, USES[0]):
        return "use the rollback journal (PRAGMA journal_mode=DELETE)"
    return use.instead


def _lock_files(here: Situation) -> Iterator[str]:
    """Yield how to make lock files where one way does not exclude, and another may."""
    unsafe = [CALLS[name] for name in here.are("unsafe", list(LOCK_FILES))]
    if not unsafe:
        return
    safe = [CALLS[name] for name in here.are("safe", list(LOCK_FILES))]
    between = f" {here.between}" if here.several else ""
    instead = f"make them with {' or '.join(safe)}" if safe else "use a lock of the kernel, if one excludes here"
    yield f"Lock files: {joined(unsafe)} let{'s' if len(unsafe) == 1 else ''} two in{between}; {instead}."


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
