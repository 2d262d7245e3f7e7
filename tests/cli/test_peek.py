"""`peek`: what it prints, and what it does with what is no file, no offset, or no permission."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.commands import ended, refusal
from tests.helpers import run_lab

DUMP = f"00000006  77 6f 72 6c 64 {'':34} |world|"
TEXT = b"hello world, this is a tester x\n\0'\\\xff"


@pytest.fixture
def file(elsewhere: Path) -> str:
    (elsewhere / "foo").write_bytes(TEXT)
    return "foo"


UNPRIVILEGED = """
import os, sys
from lab.tutorial.peek import mapped
from lab.errors import LabError
folder = os.open(sys.argv[1], os.O_PATH)
os.fchdir(folder)
os.setuid(65534)
try:
    with mapped(__import__("pathlib").Path("foo")):
        print("mapped")
except LabError as error:
    print(error.exit_code, error)
"""


def test_a_file_that_may_not_be_read_is_told(file: str, elsewhere: Path) -> None:
    (elsewhere / file).chmod(0)
    elsewhere.chmod(0o755)
    told = "foo: may not be read (Permission denied); ask its owner"
    if os.geteuid():
        assert refusal(3, "peek", file, "0") == f"lab: {told}"
    else:  # root may read everything, so it becomes somebody else
        done = ended([sys.executable, "-c", UNPRIVILEGED, elsewhere])
        assert done.stdout == f"3 {told}\n", done.stderr


def test_a_filesystem_that_cannot_map_is_told_with_the_errno() -> None:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not path.exists():
        pytest.skip("no such file of sysfs here")
    assert "is refused (No such device, ENODEV): this filesystem cannot map files" in refusal(3, "peek", path, "0")


def test_a_file_larger_than_memory_is_mapped_whole(elsewhere: Path) -> None:
    size = 1 << 40
    with (elsewhere / "huge").open("wb") as huge:
        try:
            huge.truncate(size)
        except OSError as error:
            pytest.skip(f"no sparse file of 1 TiB here: {error.strerror}")
        huge.seek(size - 2)
        huge.write(b"z")
    done = run_lab("peek", "huge", str(size - 2), "--hex", "9")
    assert done.stdout.splitlines()[0].endswith("|z.|")


def test_a_reader_that_went_away_ends_it_without_a_word(elsewhere: Path) -> None:
    (elsewhere / "long").write_bytes(bytes(1 << 20))
    command = f"{sys.executable} -m lab peek long 0 --hex 1000000 | head -1; echo ${{PIPESTATUS[0]}}"
    done = ended(["bash", "-c", command])
    assert (done.stdout.splitlines()[1], done.stderr) == ("141", "")


@pytest.mark.parametrize(
    ("operands", "printed"),
    [
        (["foo", "30"], "byte at offset 30 is 'x'"),
        (["foo", "0"], "byte at offset 0 is 'h'"),
        (["foo", "0x1e"], "byte at offset 30 is 'x'"),
        (["foo", "0X1E"], "byte at offset 30 is 'x'"),
        (["foo", "31"], r"byte at offset 31 is '\n'"),
        (["foo", "32"], r"byte at offset 32 is '\x00'"),
        (["foo", "33"], r"byte at offset 33 is '\''"),
        (["foo", "34"], r"byte at offset 34 is '\\'"),
        (["foo", "35"], r"byte at offset 35 is '\xff'"),
        (["--", "-f", "1"], "byte at offset 1 is 'b'"),
        (["./-f", "1"], "byte at offset 1 is 'b'"),
        (["--", "./-f", "1"], "byte at offset 1 is 'b'"),
        (["foo", "--hex", "5", "6"], DUMP),
        (["--hex", "5", "foo", "6"], DUMP),
        (["foo", "6", "--hex", "5"], DUMP),
        (["foo", "--hex=5", "0x6"], DUMP),
        (["foo", "--traceback", "6", "--hex", "5"], DUMP),
    ],
)
def test_bytes_are_escaped_offsets_may_be_hexadecimal_and_options_stand_anywhere(
    file: str, operands: list[str], printed: str, elsewhere: Path
) -> None:
    (elsewhere / "-f").write_text("abc")
    done = run_lab("peek", *operands)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{printed}\n", "")


def test_hex_stops_at_the_end_of_the_file_and_says_so(file: str) -> None:
    *dumped, last = run_lab("peek", file, "19", "--hex", "100").stdout.splitlines()
    assert (len(dumped), last) == (2, "(the file ends here, after 17 of 100 bytes)")


USAGE = "usage: lab peek FILE OFFSET [--hex LEN]"
REFUSED: dict[tuple[str, ...], str] = {
    ("foo", "36"): "lab: foo: offset must be 0-35, not 36",
    ("foo", "-1"): "lab: foo: offset must be 0-35, not -1",
    ("foo", "-0x10"): "lab: foo: offset must be 0-35, not -16",
    ("foo", "0x24"): "lab: foo: offset must be 0-35, not 36",
    ("foo", "9" * 23): f"lab: foo: offset must be 0-35, not {'9' * 23}",
    ("foo", "--hex", "5", "-0x1"): "lab: foo: offset must be 0-35, not -1",
    (): USAGE,
    ("foo",): USAGE,
    ("foo", "1", "2"): USAGE,
    **{
        ("--", "foo", offset): f"lab: offset {offset!r} is no whole number; give it in decimal or as 0x..."
        for offset in ("ten", "1_0", "\u0663", " 1", "0x", "1e1")
    },
    ("foo", "--hexa", "0"): "unknown option '--hexa'; did you mean --hex?; see lab peek --help",
    ("foo", "0", "--hex", "0"): "0 is too few: at least 1",
    ("a\nb\x1b[1m", "0"): r"lab: a\nb\x1b[1m: cannot be opened",
    ("empty", "0"): "is empty, there is no byte to show: mmap refuses length 0 (EINVAL)",
    ("/proc/cpuinfo", "0"): "files of /proc have no size",
    (".", "0"): "is a directory, and only a file",
    ("pipe", "0"): "is a pipe, and only a file",
    ("socket", "0"): "is a socket, and only a file",
    ("/dev/zero", "0"): "is a device, and only a file",
    ("gone", "0"): "lab: gone: cannot be opened (No such file or directory)",
    ("", "0"): "an empty name is no file",
}


@pytest.mark.parametrize("operands", REFUSED, ids=lambda each: ascii(" ".join(each)))
def test_what_has_no_such_byte_is_told_in_one_line(operands: tuple[str, ...], file: str, elsewhere: Path) -> None:
    (elsewhere / "empty").touch()
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        line = refusal(2, "peek", *operands)
    assert REFUSED[operands] in line
    assert REFUSED[operands] != USAGE or line == USAGE
