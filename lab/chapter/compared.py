"""The chapter's comparison of mapped files with shared memory, each cell as it is here.

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
from lab.regions import Folder, workspace
from lab.regions.named import SPECIMENS, Specimen, ftok_keys
from lab.results import SCHEMA, Cell, RegionsCompared

from .claimed import PROPERTIES, REGIONS, claimed
from .limits import out_of_descriptors
from .witness import NOT_MAPPED, OK, Witness, raced

KERNEL_MEMORY = ("/SYSV", "/dev/shm/", "/dev/zero")  # noqa: S108 - names that are read
"""How /proc/self/maps begins the name of memory that is no file of a directory (shmat(2), shm_overview(7), mmap(2))."""

LEGIBLE = 13
"""Characters of a name, such as /SYSV0100c6cf; of a longer one stays the beginning."""

STORED, AGAIN = ord("x"), ord("y")
SETTINGS = {"SC_MAPPED_FILES": "POSIX", "SC_SHARED_MEMORY_OBJECTS": "POSIX", "SC_XOPEN_SHM": "XSI option"}
ASKED = {
    "mapped": "SC_MAPPED_FILES",
    "private": "SC_MAPPED_FILES",
    "sysv": "SC_XOPEN_SHM",
    "posix": "SC_SHARED_MEMORY_OBJECTS",
}
"""Options of POSIX by the region that needs them (sysconf(3), posixoptions(7)); the others need none."""

ANONYMOUS_SINCE = 202405
"""The first version of POSIX with MAP_ANONYMOUS."""

REFUSED = "refused"
"""Of a region that could not be set up: all but its set-up, which has the errno."""

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
            observed = seen[region].get(each.name, REFUSED)
            if each.name == "backing store" and observed.startswith("a file"):
                observed += f", {filesystem}"
            expected = claimed(each.name, region)
            yield Cell(each.name, region, expected, anonymous_text(observed), observed.startswith(expected))


def _looked_at(region: str, folder: Path) -> Seen:
    """All properties of one region; what the kernel refuses is seen as the name of its errno."""
    path = folder / "foo"
    try:
        specimen = SPECIMENS[region](path)
    except OSError as error:
        raise out_of_descriptors(error) or CannotRunError(
            f"region {region}: no key for it ({error.strerror}); give another --dir"
        ) from error
    except ImportError as error:
        raise CannotRunError(f"region {region}: needs the Python package {error.name}; install it") from error
    try:
        return _life(region, specimen, path)
    finally:
        with suppress(OSError):
            specimen.remove()
        with suppress(OSError):
            Folder.at(folder).unlink(path.name)


def _life(region: str, specimen: Specimen, path: Path) -> Seen:
    seen: Seen = {"portability": _portability(region)}
    with Witness(specimen) as stranger, Witness(specimen) as owner:
        made = owner.does("make")
        if made != OK:  # whatever else could be seen now is not the region's
            return seen | {"set-up": made}
        seen["set-up"] = claimed("set-up", region)
        seen["backing store"] = _backing(owner.does("backing"), owner.does("opened"), specimen)
        child = owner.does("shows_child", STORED)
        found = stranger.does("find")
        seen["key"] = _key(found, specimen, path)
        seen["seen by others"] = _seen_by(stranger.does("load") if found == OK else "", child)
        seen["read(2) sees it"] = _read((stranger if found == OK else owner).does("read"))
        seen["file lock on it"] = _excludes(owner.does("lock"), stranger.does("lock"))
        seen["synchronisation"] = _lost(raced(owner, stranger) if found == OK else owner.does("race_child"))
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


def _backing(mapped: str, opened: str, specimen: Specimen) -> str:
    """By the names of what is mapped and of what is open; one that is not known is told as it is."""
    if mapped.endswith(f"/{specimen.key}"):
        return "a file, mapped"
    if mapped == NOT_MAPPED:
        return f"{'a file' if opened.endswith(f'/{specimen.key}') else opened}, not mapped"
    name = mapped.removesuffix(" (deleted)")
    return f"kernel memory, {_short(name)}" if name.startswith(KERNEL_MEMORY) else name


def _short(name: str) -> str:
    """The name without what is new in every run."""
    return f"{name[:9]}..." if len(name) > LEGIBLE else name


def _key(found: str, specimen: Specimen, path: Path) -> str:
    """What kind of key it is by which the bytes were found."""
    if not specimen.key:
        return "none" if found == "ENOENT" else found
    if found != OK:
        return found
    if specimen.key == path.name:
        kind = "the file's name"
    elif specimen.key.startswith("/"):
        kind = "a name"
    else:
        kind = "ftok()" if specimen.key in ftok_keys(path) else "a number"
    return f"{kind}, {_short(specimen.key)}"


def _seen_by(stranger: str, child: str) -> str:
    if stranger == child == str(STORED):
        return "yes"
    if child != str(STORED):
        return "no"
    return "by children"


def _read(byte: str) -> str:
    if byte == str(STORED):
        return "yes"
    return "no" if byte.isdigit() else byte


def _lost(loads: str) -> str:
    """What arrived, by what both loaded before and after each added 1 to what it had loaded."""
    try:
        before, before_too, after, after_too = map(int, loads.split())
    except ValueError:  # the name of an errno
        return loads
    if (before, after) == (before_too, after_too):
        return f"none: {after - before} of 2"
    return "nothing shared" if (after, after_too) == (before + 1, before_too + 1) else f"loaded {loads}"


def _excludes(first: str, second: str) -> str:
    return "excludes" if (first, second) == ("granted", "EAGAIN") else second if first == "granted" else first


def _portability(region: str) -> str:
    """The option of POSIX, and what sysconf(3) says of it; memory without a name is younger than the others."""
    name = ASKED.get(region, "SC_VERSION")
    value = os.sysconf(name) if name in os.sysconf_names else -1
    if region == "anonymous" and value < ANONYMOUS_SINCE:
        return f"not in POSIX {value}"
    setting = SETTINGS.get(name, "POSIX")
    if value <= 0:
        return "no"
    return setting if value == 1 else f"{setting} {value}"  # 1 says that there is an option, and no version
