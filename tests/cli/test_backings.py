import errno
import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from lab.cli.main import main
from lab.memory import named
from tests.helpers import in_fresh_process, run_lab


def test_backings_prints_the_comparison_and_how_each_row_was_seen(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    ended = run_lab("backings", "--dir", place)
    assert (ended.returncode, ended.stderr) == (0, "")
    (head, _) = (line.split()[1:] for line in ended.stdout.splitlines() if line.startswith("property "))
    assert head == ["mapped", "private", "stream", "sysv"]
    for told in ("shmget", "shm_open", "until unlink", "IPC_RMID", "by children", "how each row was seen"):
        assert told in ended.stdout
    assert "All 66 cells are as expected." in ended.stdout
    assert [line for line in ended.stdout.splitlines() if len(line) > 80 and str(place) not in line] == []
    assert str(place) in ended.stdout
    assert list(place.iterdir()) == []


def test_a_backing_that_is_refused_is_told_in_a_line_and_ends_with_3(tmp_path: Path) -> None:
    told, code = in_fresh_process(with_a_refused_backing, str(tmp_path))
    assert code == 3
    assert told == "lab: backing sysv: refused at its set-up (ENOSYS); see docs/backings.md for what it needs\n"


def with_a_refused_backing(directory: str) -> list[object]:
    def refused(_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    named.SystemVSegment.make = refused  # type: ignore[method-assign,assignment]
    told = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(told):
        code = main(["backings", "--dir", directory])
    return [told.getvalue(), code]
