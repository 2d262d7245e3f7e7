import errno
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from lab.memory import named
from tests.helpers import in_fresh_process

posix_ipc, sysv_ipc = import_module("posix_ipc"), import_module("sysv_ipc")


def key_beside_a_foreign_one(path: str) -> tuple[bool, bool]:
    """Whether another key is taken where somebody has the first, and whether that segment is there after all."""
    first = named.SystemVSegment(Path(path)).key
    theirs = sysv_ipc.SharedMemory(int(first, 16), sysv_ipc.IPC_CREX, size=1)
    try:
        specimen = named.SystemVSegment(Path(path))
        specimen.make()
        specimen.remove()
        return specimen.key != first, sysv_ipc.SharedMemory(int(first, 16)).id == theirs.id
    finally:
        theirs.remove()


def test_a_segment_of_somebody_else_under_the_same_key_is_left_alone(tmp_path: Path) -> None:
    assert in_fresh_process(key_beside_a_foreign_one, str(tmp_path / "foo")) == [True, True]


def refusals(kind: str, path: str) -> list[str]:
    """What finding and removing what is not there, and making what is there, come to."""
    ours, again = (getattr(named, kind)(Path(path)) for _ in range(2))
    Path(path).unlink(missing_ok=True)
    seen = [_refusal(again.find), _refusal(again.remove)]
    ours.make()
    try:
        return [*seen, _refusal(again.make)]
    finally:
        ours.remove()


def _refusal(call: Callable[[], None]) -> str:
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "works"


@pytest.mark.parametrize("kind", ["SystemVSegment", "PosixObject", "File"])
def test_what_is_there_and_what_is_not_have_the_errno_of_their_call(kind: str, tmp_path: Path) -> None:
    assert in_fresh_process(refusals, kind, str(tmp_path / "foo")) == ["ENOENT", "ENOENT", "EEXIST"]


def test_a_refusal_of_the_packages_is_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise posix_ipc.PermissionsError("No permission to access this segment")

    monkeypatch.setattr(posix_ipc, "SharedMemory", refused)
    with pytest.raises(PermissionError) as raised:
        named.PosixObject(tmp_path / "foo").make()
    assert raised.value.errno == errno.EACCES


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), errno.ENOMEM),
        (ValueError("The size is invalid"), errno.EINVAL),
        (OSError("This process already has the maximum number of files open"), errno.EMFILE),
        (OSError("The system limit on the total number of open files has been reached"), errno.ENFILE),
        (OSError("Not enough shared memory identifiers available (ENOSPC)"), errno.ENOSPC),
        (OSError(errno.EROFS, "Read-only file system"), errno.EROFS),
    ],
)
@pytest.mark.parametrize("kind", ["SystemVSegment", "PosixObject"])
def test_what_the_packages_say_without_an_errno_gets_it(
    raised: Exception, expected: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise raised

    specimen = getattr(named, kind)(tmp_path / "foo")
    monkeypatch.setattr(sysv_ipc if kind == "SystemVSegment" else posix_ipc, "SharedMemory", refused)
    with pytest.raises(OSError, match=r"\w") as found:
        specimen.make()
    assert found.value.errno == expected


def test_an_object_is_named_after_the_folder_of_the_run(tmp_path: Path) -> None:
    assert named.PosixObject(tmp_path / "lab-1-2" / "foo").key == "/lab-1-2-object"


def test_a_file_that_has_no_room_is_refused_before_anybody_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        named.File(tmp_path / "foo").make()
