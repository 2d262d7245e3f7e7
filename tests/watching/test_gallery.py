"""Programs that lock rightly are reported for nothing, and each that locks wrongly for its cause, at its line."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab.records import WatchOptions
from lab.records.watch import WatchLevel
from lab.watching.run import watch
from tests.helpers import ROOT, OtherProcess
from tests.pages import run_page

pytestmark = [pytest.mark.needs("compiler"), pytest.mark.needs("compiled")]

HERE = Path(__file__).parent
HELPERS = (" load_at", " store_at", " lock_range", " looks")
"""Functions of the gallery in which a program's accesses and locks are."""
COPIES = 3

RIGHT = (
    "plain", "open_description", "whole", "other_byte", "neighbours", "readers", "made_shared", "closed_to_unlock",
    "lock_file", "beside", "child_waited_for", "stream_flushed", "appended", "inode_checked", "semaphore",
    "tried_again", "emptied_lock_file", "shared_by_workers", "by_system", "signalled", "locks_after_exec",
)  # fmt: skip

WRONG = {
    "no_lock": {"no lock"},
    "other_ranges": {"no lock"},
    "past_its_range": {"no lock"},
    "reader_without": {"no lock"},
    "closes_another": {"dropped by a close"},
    "closes_a_copy": {"dropped by a close"},
    "closes_a_stream": {"dropped by a close"},
    "forgets_after_exec": {"dropped by a close"},
    "closes_in_handler": {"dropped by a close"},
    "reads_first": {"read before the lock"},
    "child_works": {"not inherited by a fork"},
    "writes_after": {"written after the unlock"},
    "stream_late": {"written after the unlock"},
    "writes_shared": {"written under a shared lock"},
    "two_kinds": {"two kinds of lock"},
    # One unlock of the two releases both: what follows is unprotected, and the second unlock has nothing to release.
    "locked_twice": {"locked twice"},
    "opposite_order": {"opposite order"},
    "replaced": {"locked a replaced file"},
    "updates_replaced": {"locked a replaced file"},
    "emptied_first": {"emptied before the lock"},
    "went_on": {"went on without the lock"},
    "unlocked_by_child": {"unlocked by another process"},
    "kept_by_child": {"kept by a child"},
    "cut_below": {"cut below a mapping"},
    "in_pieces": {"appended in pieces"},
    "never_unlocks": {"still waiting"},
    "made_exclusive": {"note: converted"},
    "unlocks_nothing": {"note: unlocked without a lock"},
    "killed_inside": {"note: died inside"},
}

PYTHON_RIGHT = ("saved_by_rename", "flushed", "emptied_under_the_lock", "helper_leaves", "ofd_between_threads")
PYTHON_WRONG = {
    "same_name_beside": {"emptied before the lock", "no lock"},
    "flushed_late": {"written after the unlock"},
    "emptied_by_mode_w": {"emptied before the lock"},
    "looked_only_before": {"read before the lock"},
    "looked_and_looked_again": {"note: looked before the lock"},
    "threads_of_sqlite": {"note: converted"},
    "helper_unlocks": {"unlocked by another process"},
    "posix_between_threads": {"locked twice"},
}
MAPPED_RIGHT = (
    "plain", "open_description", "whole", "other_byte", "neighbours", "readers", "closed_to_unlock", "lock_file",
    "beside", "child_waited_for", "semaphore", "tried_again", "shared_by_workers",
    "atomic_counter", "spin_lock", "handed_over", "mutex_inside", "strings_beside", "copied", "written_from",
    "mapped_anew",
)  # fmt: skip
"""Programs that use a mapping, and are watched at level accesses."""

MAPPED_WRONG = {
    name: WRONG[name]
    for name in (
        "no_lock", "other_ranges", "past_its_range", "reader_without", "closes_another", "closes_a_copy",
        "closes_a_stream", "reads_first", "child_works", "writes_after", "writes_shared", "two_kinds", "locked_twice",
        "went_on", "unlocked_by_child", "made_exclusive",
    )
} | {
    "copied_late": {"written after the unlock"},
    "written_without": {"no lock"},
    "spin_lock_forgotten": {"no lock"},
    "mutex_forgotten": {"no lock"},
    "torn_string": {"no lock"},
}  # fmt: skip

MAPPED_PYTHON_RIGHT = ("mapped_under_the_lock", "structure_under_the_lock", "frames_sent", "segment_read")
MAPPED_PYTHON_WRONG = {
    "mapped_without_a_lock": {"no lock"},
    "structure_without_a_lock": {"no lock"},
    "mapped_look_first": {"read before the lock"},
    "mapped_after_the_unlock": {"written after the unlock"},
    "mapped_and_closed": {"dropped by a close"},
    "frames_of_a_daemon": {"no lock"},
    "segment_read_late": {"no lock", "cut below a mapping"},
}

FOR_MOUNTS = {
    "synced": set(),
    "synced_late": {"not synced before the unlock"},
    "synced_sometime": {"not synced before the unlock"},
}
"""Programs that are right on one mount, and what is said of each with --mounts."""

HANGS = {"never_unlocks": 2.0}
"""Programs that do not end by themselves, and the seconds that they are given."""


def found(
    command: list[str],
    file: str,
    copies: int,
    limit_s: float,
    level: WatchLevel = "calls",
    more: Sequence[str] = (),
    *,
    mounts: bool = False,
) -> list[list[object]]:
    """Return each finding of a program as its cause, whether it is a note, and its places."""
    Path(file).write_bytes(b"[]" if "python" in command[0] else bytes(4096))
    done = watch(
        WatchOptions([*command, file, "{worker}", *more], copies, [], [], [], limit_s, "", level=level, mounts=mounts)
    )
    return [[each.cause, each.note, [call.place for call in each.calls]] for each in done.findings]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of the compiled programs."""
    program = tmp_path_factory.mktemp("gallery") / "gallery"
    command = ["cc", "-g", "-O1", "-w", str(HERE / "gallery.c"), "-o", str(program), "-pthread"]
    subprocess.run(command, check=True)
    return str(program)


@pytest.fixture(scope="module")
def other() -> Iterator[OtherProcess]:
    with OtherProcess() as process:
        yield process


def causes(findings: list[list[object]]) -> set[str]:
    return {f"note: {cause}" if note else str(cause) for cause, note, _ in findings}


@pytest.mark.parametrize(("name", "expected"), [*((name, set()) for name in RIGHT), *WRONG.items()])
def test_what_is_said_of_each_program(
    gallery: str, other: OtherProcess, tmp_path: Path, name: str, expected: set[str]
) -> None:
    findings = other.call(found, [gallery, name], str(tmp_path / "data"), COPIES, HANGS.get(name, 30.0))
    assert causes(findings) == expected
    places = [place for _, _, calls in findings for place in calls if place]  # a program that begins has none
    assert all(re.fullmatch(r"gallery\.c:\d+ \w+", place) for place in places), places
    if expected:
        assert any(place.endswith((f" {name}", *HELPERS)) for place in places), places


@pytest.mark.needs("accesses")
@pytest.mark.parametrize(("name", "expected"), [*((name, set()) for name in MAPPED_RIGHT), *MAPPED_WRONG.items()])
def test_what_is_said_of_each_program_that_uses_a_mapping(
    gallery: str, other: OtherProcess, tmp_path: Path, name: str, expected: set[str]
) -> None:
    findings = other.call(found, [gallery, f"mapped:{name}"], str(tmp_path / "data"), COPIES, 30.0, "accesses")
    assert causes(findings) == expected
    places = [place for _, _, calls in findings for place in calls if place]
    assert all(re.fullmatch(r"gallery\.c:\d+ \w+", place) for place in places), places
    if expected:
        assert any(place.endswith((f" {name}", *HELPERS)) for place in places), places


@pytest.mark.needs("accesses")
@pytest.mark.parametrize(("name", "expected"), FOR_MOUNTS.items())
@pytest.mark.parametrize("mounts", [True, False])
def test_what_is_stored_through_a_mapping_is_synced_for_other_mounts(
    gallery: str, other: OtherProcess, tmp_path: Path, name: str, expected: set[str], mounts: bool
) -> None:
    program = [gallery, f"mapped:{name}"]
    findings = other.call(found, program, str(tmp_path / "data"), COPIES, 30.0, "accesses", mounts=mounts)
    assert causes(findings) == (expected if mounts else set())


@pytest.mark.parametrize(("name", "expected"), [*((name, set()) for name in PYTHON_RIGHT), *PYTHON_WRONG.items()])
def test_what_is_said_of_each_python_program(
    other: OtherProcess, tmp_path: Path, name: str, expected: set[str]
) -> None:
    command = [sys.executable, str(HERE / "gallery.py"), name]
    findings = other.call(found, command, str(tmp_path / "data"), 2, 30.0)
    assert causes(findings) <= expected
    assert bool(findings) == bool(expected)
    assert all(place.startswith("gallery.py:") for _, _, calls in findings for place in calls)


PAGES_RIGHT = ("plain", "neighbours", "mutex_inside", "spin_lock", "no_lock")
PAGES_WRONG = ("writes_after", "child_works", "closes_another", "writes_shared")


@pytest.mark.needs("pages")
@pytest.mark.parametrize("name", [*PAGES_RIGHT, *PAGES_WRONG])
def test_what_is_said_of_the_pages_that_a_program_wrote(
    gallery: str, other: OtherProcess, tmp_path: Path, name: str
) -> None:
    """Of two that use no lock nothing is said: they may have stored to different bytes of the page."""
    findings = other.call(found, [gallery, f"mapped:{name}"], str(tmp_path / "data"), COPIES, 30.0, "pages")
    assert causes(findings) == (MAPPED_WRONG[name] if name in PAGES_WRONG else set())


@pytest.mark.needs("accesses")
@pytest.mark.parametrize(
    ("name", "expected"), [*((name, set()) for name in MAPPED_PYTHON_RIGHT), *MAPPED_PYTHON_WRONG.items()]
)
def test_what_is_said_of_each_python_program_that_uses_a_mapping(
    other: OtherProcess, tmp_path: Path, name: str, expected: set[str]
) -> None:
    (tmp_path / "data").touch()
    command = [sys.executable, str(HERE / "gallery.py"), name]
    findings = other.call(found, command, str(tmp_path / "data"), 2, 30.0, "accesses", ["mapped"])
    assert causes(findings) <= expected
    assert bool(findings) == bool(expected)
    assert all(place.startswith("gallery.py:") for _, _, calls in findings for place in calls)


def test_all_that_its_page_shows_is_so(tmp_path: Path) -> None:
    run_page(ROOT / "docs" / "watch.md", tmp_path)


def test_every_program_of_the_gallery_has_its_row() -> None:
    named = set(re.findall(r"NAMED\((\w+)\)", (HERE / "gallery.c").read_text())) - {"name"}
    assert named == {*RIGHT, *WRONG, *MAPPED_RIGHT, *MAPPED_WRONG, *FOR_MOUNTS}
