"""The chapter's comparison of mapped files with shared memory, each cell as it is seen here.

For each region there are an owner, which makes the bytes; a stranger that was forked before, has nothing of them, and
finds them by their key; a latecomer, which looks once everybody else has ended; and one that removes the key while the
latecomer is attached.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from lab.environment import Begun, anonymous_text, environment
from lab.errors import CannotRunError
from lab.regions import workspace
from lab.regions.named import SPECIMENS, Specimen
from lab.results import SCHEMA, Cell, RegionsCompared

from .claimed import PROPERTIES, REGIONS, claimed
from .witness import NOT_MAPPED, OK, Witness

LEGIBLE = 13
"""Characters of a name, such as /SYSV0100c6cf; of a longer one stays the beginning."""

STORED, AGAIN = ord("x"), ord("y")
SETTINGS = {"SC_MAPPED_FILES": "POSIX", "SC_SHARED_MEMORY_OBJECTS": "POSIX", "SC_XOPEN_SHM": "XSI"}
ASKED = {
    "mapped": "SC_MAPPED_FILES",
    "private": "SC_MAPPED_FILES",
    "sysv": "SC_XOPEN_SHM",
    "posix": "SC_SHARED_MEMORY_OBJECTS",
}
"""Options of POSIX by the region that needs them (sysconf(3), posixoptions(7)); the others need none."""

ANONYMOUS_SINCE = 202405
"""The first version of POSIX with MAP_ANONYMOUS."""

Seen = dict[str, str]


def compare(directory: Path, tell: Callable[[str], None]) -> RegionsCompared:
    """Look at every region, in a fresh directory inside this one. Raises CannotRunError where that cannot be used."""
    begun = Begun()
    seen: dict[str, Seen] = {}
    with workspace(directory) as folder:
        for region in REGIONS:
            tell(region)
            seen[region] = _looked_at(region, folder)
        where = environment(folder, begun.load)
    return RegionsCompared(
        schema=SCHEMA,
        command="regions",
        started=begun.moment,
        wall_s=begun.wall_s,
        environment=where,
        directory=anonymous_text(str(directory)),
        regions=list(REGIONS),
        properties=list(PROPERTIES),
        cells=list(_cells(seen, where.filesystem)),
    )


def _cells(seen: dict[str, Seen], filesystem: str) -> Iterator[Cell]:
    for each in PROPERTIES:
        for region in REGIONS:
            observed = seen[region].get(each.name, "refused").replace("a file", f"a file, {filesystem}")
            expected = claimed(each.name, region)
            yield Cell(each.name, region, expected, anonymous_text(observed), observed.startswith(expected))


def _looked_at(region: str, folder: Path) -> Seen:
    """All properties of one region; what the kernel refuses is seen as the name of its errno."""
    path = folder / "foo"
    try:
        specimen = SPECIMENS[region](path)
    except ImportError as error:
        raise CannotRunError(f"region {region}: needs the Python package {error.name}; install it") from error
    try:
        return _life(region, specimen, path)
    finally:
        with suppress(OSError):
            specimen.remove()
        path.unlink(missing_ok=True)


def _life(region: str, specimen: Specimen, path: Path) -> Seen:
    seen: Seen = {"portability": _portability(region)}
    with Witness(specimen) as stranger, Witness(specimen) as owner:
        made = owner.does("make")
        seen["set-up"] = claimed("set-up", region) if made == OK else made
        seen["backing store"] = _backing(owner.does("backing"), specimen)
        child = owner.does("shows_child", STORED)
        seen["in the file"] = _in_file(path)
        found = stranger.does("find")
        seen["key"] = _key(found, specimen, region)
        seen["seen by others"] = _seen_by(stranger.does("load") if found == OK else "", child)
        seen["file lock on it"] = _excludes(owner.does("lock"), stranger.does("lock"))
        seen["synchronisation"] = _lost(owner.does("race"), seen["seen by others"])
        owner.does("store", AGAIN)
    seen |= _after(specimen, region)
    return seen


def _after(specimen: Specimen, region: str) -> Seen:
    """What is left once all have ended, and once the key is removed."""
    with Witness(specimen) as latecomer, Witness(specimen) as remover:
        found = latecomer.does("find")
        left = latecomer.does("load") if found == OK else ""
        removed = remover.does("remove"), remover.does("remove")
        with Witness(specimen) as newcomer:
            new = newcomer.does("find")
        still = left and latecomer.does("load") == left
    stays = "stays" if left == str(AGAIN) else "the file as it was" if left else "gone"
    clean = removed in ((OK, "ENOENT"), ("ENOENT", "ENOENT"))
    return {
        "persistence": stays,
        "key removed": f"{'stays' if still else 'gone'}, new: {new}" if left else "has none",
        "clean-up": claimed("clean-up", region) if clean and new == "ENOENT" else f"removed: {', '.join(removed)}",
    }


def _backing(mapped: str, specimen: Specimen) -> str:
    if mapped == NOT_MAPPED or mapped.endswith(f"/{specimen.key}"):
        return "a file"
    return f"kernel memory, {_short(mapped.removesuffix(' (deleted)'))}"


def _short(name: str) -> str:
    """The name without what is new in every run."""
    return f"{name[:9]}..." if len(name) > LEGIBLE else name


def _key(found: str, specimen: Specimen, region: str) -> str:
    if not specimen.key:
        return "none" if found == "ENOENT" else found
    return f"{claimed('key', region)}, {_short(specimen.key)}" if found == OK else found


def _seen_by(stranger: str, child: str) -> str:
    if stranger == child == str(STORED):
        return "yes"
    if child != str(STORED):
        return "no"
    return "by children"


def _in_file(path: Path) -> str:
    try:
        content = path.read_bytes()[:1]
    except FileNotFoundError:
        content = b""
    return "no file" if not content else "yes" if content == bytes([STORED]) else "no"


def _lost(grown: str, seen: str) -> str:
    return "nothing shared" if seen == "no" else f"none: {grown} of 2"


def _excludes(first: str, second: str) -> str:
    return "excludes" if (first, second) == ("granted", "EAGAIN") else second if first == "granted" else first


def _portability(region: str) -> str:
    """The option of POSIX, and what sysconf(3) says of it; memory without a name is younger than the others."""
    name = ASKED.get(region, "SC_VERSION")
    value = os.sysconf(name) if name in os.sysconf_names else -1
    if region == "anonymous" and value < ANONYMOUS_SINCE:
        return f"not in POSIX {value}"
    return f"{SETTINGS.get(name, 'POSIX')} {value}" if value > 0 else "no"
