"""The steps on persistence: what a kill leaves of what was stored, what a power failure leaves, and a failed msync().

All but the first cut the power of a filesystem: they make one in memory for each kind that this machine can make, on a
loop device (`lab.host.disks`), or on a disk that fails once (`lab.processes.recording_disk`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from lab.errors import CannotRunError
from lab.host.disks import Filesystem, available_kinds, is_dirty, loop_filesystem, single_pages
from lab.memory.calls import MS_ASYNC, PAGE, PROT_READ, PROT_WRITE
from lab.processes.guarded import Hung, Send, run_guarded
from lab.processes.recording_disk import recording_disk
from lab.records import Observation
from lab.tutorial.calls import (
    WORKS,
    Call,
    Close,
    Fsync,
    Load,
    Madvise,
    Mmap,
    Msync,
    Munmap,
    Open,
    Pread,
    Store,
    literal,
)
from lab.tutorial.process import Lacking, Process, Stage, Step, observation

BOTH = PROT_READ | PROT_WRITE
PATIENCE_S = 60.0
AGAIN_AT_MOST = 5
"""A power failure is made again so often where something else on the machine writes all pages back (sync(2))."""

Experiment = Callable[[str], Iterator[Observation]]


def killed(stage: Stage) -> Iterator[Observation]:
    """Kill A just after its store; read the file in B."""
    path = stage.file(b"a" * PAGE)
    a, b = stage.process(path, "A"), stage.process(path, "B")
    yield a.does(Open(os.O_RDWR))
    yield a.does(Mmap(PAGE, BOTH))
    yield a.does(Store(0, "x"))
    yield a.is_killed()
    yield b.does(Open(os.O_RDONLY))
    yield b.does(Pread(0), "'x'")


def _on_each(experiment: Experiment) -> Iterator[Observation]:
    """Yield what is observed on each filesystem that can be made here, by columns. Raises Lacking."""
    found: list[Observation] = []

    def body(send: Send) -> None:
        for kind in available_kinds():
            for each in experiment(kind):
                send(replace(each, column=kind))

    try:
        run_guarded(body, found.append, PATIENCE_S)
    except (CannotRunError, Hung) as error:
        raise Lacking(str(error)) from error
    yield from found


ENDINGS: Sequence[tuple[str, Sequence[Call], str]] = (
    ("exit(0)", (), "'a' 'a'"),
    ("munmap(); close()", (Munmap(0, 2 * PAGE), Close()), "'a' 'a'"),
    ("msync(MS_ASYNC)", (Msync(0, 2 * PAGE, MS_ASYNC),), "'a' 'a'"),
    ("msync(MS_SYNC), first", (Msync(0, PAGE),), "'x' 'a'"),
    ("fdatasync(fd)", (Fsync("fdatasync"),), "'x' 'x'"),
    ("fsync(fd)", (Fsync(),), "'x' 'x'"),
)
"""What a program does after it stored in two pages, and the first byte of each after a power failure."""


def power(kind: str) -> Iterator[Observation]:
    """Store in two pages of a file for each ending, exit, and cut the power once for all."""
    with loop_filesystem(kind) as disk:

        def prepare() -> dict[Path, list[int]]:
            paths = [_settled(disk, f"{number}", 2) for number in range(len(ENDINGS))]
            for path, (_, calls, _) in zip(paths, ENDINGS, strict=True):
                _store_and_exit(path, (Store(0, "x"), Store(PAGE, "x"), *calls))
            lost = ([at for at, each in enumerate(expected.split()) if each == "'a'"] for _, _, expected in ENDINGS)
            return dict(zip(paths, lost, strict=True))

        _fail(disk, prepare)
        for number, (row, _, expected) in enumerate(ENDINGS):
            content = (disk.folder / f"{number}").read_bytes()
            seen = " ".join(literal(content[at]) for at in (0, PAGE))
            yield replace(observation("data[0], data[page]", expected, seen), row=row)


def page(kind: str) -> Iterator[Observation]:
    """Store in two places of a page and in the next page, sync the first byte, and cut the power."""
    stores = (Store(0, "x"), Store(PAGE // 2, "x"), Store(PAGE, "x"), Msync(0, 1))
    with loop_filesystem(kind) as disk:

        def prepare() -> dict[Path, list[int]]:
            one, large = _settled(disk, "one", 2), _settled(disk, "large", 2, single=False)
            _store_and_exit(one, stores)
            _store_and_exit(large, stores, single=False)
            return {one: [1]}

        _fail(disk, prepare)
        small, whole = ((disk.folder / name).read_bytes() for name in ("one", "large"))
        for row, byte, expected in (
            ("data[0]", small[0], "'x'"),
            ("data[page / 2]", small[PAGE // 2], "'x'"),
            ("data[page]", small[PAGE], "'a'"),
            ("data[page], one folio", whole[PAGE], "'x' or 'a'"),
        ):
            yield replace(observation("after the power failure", expected, literal(byte)), row=row)


def sync_error(kind: str) -> Iterator[Observation]:
    """Let the disk fail once under msync(); call it again, and drop the page from memory."""
    with recording_disk(kind) as disk, ExitStack() as ends:
        path = _settled(disk.filesystem, "foo", 1)
        a = ends.enter_context(Process(path))
        for each in (Open(os.O_RDWR), Mmap(PAGE, BOTH), Store(0, "x")):
            a.do(each)
        disk.fail_next_write()
        calls: tuple[tuple[str, Call, str], ...] = (
            ("msync()", Msync(0, PAGE), "EIO"),
            ("msync() again", Msync(0, PAGE), WORKS),
            ("c = data[0]", Load(0), "'x'"),
            ("munmap()", Munmap(0, PAGE), WORKS),
        )
        for row, call, expected in calls:
            yield replace(a.does(call, expected), row=row)
        a.do(Close())
        yield replace(observation("pread(fd, &c, 1, 0)", "'a'", _read_from_disk(path)), row="pread() from the disk")


def rename(kind: str) -> Iterator[Observation]:
    """Save a file by writing another and renaming it; another program's fsync() writes the names; cut the power."""
    with loop_filesystem(kind) as disk:

        def prepare() -> dict[Path, list[int]]:
            for old in ("over", "synced"):
                _write(disk.folder / old, b"a" * PAGE, synced=True)
            (disk.folder / "new").unlink(missing_ok=True)
            disk.settle()
            for name in ("new", "over", "synced"):
                _write(disk.folder / "tmp", b"x" * PAGE, synced=name == "synced")
                (disk.folder / "tmp").rename(disk.folder / name)
            _write(disk.folder / "other", b"", synced=True)
            return {disk.folder / name: [0] for name in (("new", "over") if kind == "xfs" else ("new",))}

        _fail(disk, prepare)
        for row, name, expected in (
            ("rename()", "new", "empty"),
            ("rename() over an old file", "over", "empty" if kind == "xfs" else "'x' or zeros"),
            ("fsync(), rename() over it", "synced", "'x'"),
        ):
            yield replace(observation("after the power failure", expected, _first(disk.folder / name)), row=row)


def _settled(disk: Filesystem, name: str, pages: int, *, single: bool = True) -> Path:
    """Make a file of so many pages of a's, all of it on the disk."""
    path = disk.folder / name
    _write(path, b"a" * pages * PAGE, synced=True)
    disk.settle()
    if single:
        _dropped(path)
    return path


def _write(path: Path, content: bytes, *, synced: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, content)
        if synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dropped(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        single_pages(descriptor)
    finally:
        os.close(descriptor)


def _store_and_exit(path: Path, calls: Sequence[Call], *, single: bool = True) -> None:
    with Process(path) as program:
        for call in (Open(os.O_RDWR), Mmap(2 * PAGE, BOTH), *((Madvise(2 * PAGE),) if single else ()), *calls):
            program.do(call)
        program.exits()


def _fail(disk: Filesystem, prepare: Callable[[], dict[Path, list[int]]]) -> None:
    """Prepare files, and let the power fail and come back.

    `prepare` returns their pages that are to be lost. Where one of them is on the disk already it is called again.
    Raises CannotRunError where that happens again and again.
    """
    for _ in range(AGAIN_AT_MOST):
        with ExitStack() as closed:
            pages = []
            for path, numbers in prepare().items():
                descriptor = os.open(path, os.O_RDONLY)
                closed.callback(os.close, descriptor)
                pages += [(descriptor, number * PAGE, PAGE) for number in numbers]
            disk.cut()
            lost = all(is_dirty(*page) is not False for page in pages)  # as far as the kernel says
        disk.unmount()
        disk.mount()
        if lost:
            return
    raise CannotRunError("something on this machine writes all pages back (sync?); try again")


def _read_from_disk(path: Path) -> str:
    """Return the first byte as it is on the disk: what the kernel has in memory is dropped first."""
    _dropped(path)
    return _first(path)


def _first(path: Path) -> str:
    content = path.read_bytes()
    if not content:
        return "empty"
    return literal(content[0]) if content.strip(b"\0") else "zeros"


CUT = (
    "A filesystem was made in memory, shut down (what is dirty stays unwritten) and mounted anew; that needs root, a "
    "loop device, and mkfs.ext4 or mkfs.xfs. "
)

PERSISTENCE_STEPS = (
    Step(
        "kill",
        "A process that is killed leaves all that it stored: the pages belong to the kernel, not to the process.",
        killed,
    ),
    Step(
        "power",
        "A power failure takes what was stored; only msync(MS_SYNC), fdatasync() and fsync() save it, and neither "
        "exit(), munmap() nor MS_ASYNC does.",
        lambda _: _on_each(power),
        f"{CUT}'x' was stored over 'a' in two pages; a cell has what is left of each.",
    ),
    Step(
        "page",
        "msync() saves the whole page, also what others stored there, and not the next page.",
        lambda _: _on_each(page),
        f"{CUT}msync() was called for data[0]. A file that was written in one call may lie in one large folio, and "
        "then all of it is saved: a test on such a file does not notice a missing msync().",
    ),
    Step(
        "sync-error",
        "After an error of msync() a second one succeeds, and the disk still has the old byte.",
        lambda _: _on_each(sync_error),
        "The disk is a file of a FUSE server, which fails once; that needs root, a loop device, and mkfs.ext4 or "
        "mkfs.xfs. fsync(2): the error is reported once, and the page counts as clean.",
    ),
    Step(
        "rename",
        "A file that is saved by rename() without fsync() may be empty after a power failure.",
        lambda _: _on_each(rename),
        f"{CUT}ext4 begins to write when a file is renamed over another (ext4(5), auto_da_alloc); xfs does not.",
    ),
)
