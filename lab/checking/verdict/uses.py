"""Say for which uses of files the mount is safe: SQLite, lock files, saving by rename, append logs.

Each use needs some guarantees. It is safe where all of them are, and unsafe where one is, which is then the reason.
Where a guarantee was not asked, or is unknown, nothing is said of the uses that need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.analysis.statistics import joined
from lab.checking.guarantees import LOCK_FILES

from .situation import Situation


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
    between = " between these mounts" if here.several else ""
    instead = f"make them with {' or '.join(safe)}" if safe else "use a lock of the kernel, if one excludes here"
    yield f"Lock files: {joined(unsafe)} let{'s' if len(unsafe) == 1 else ''} two in{between}; {instead}."


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
