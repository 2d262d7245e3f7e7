"""`peek`: what it prints, and what it does with what is no file, no offset, or no permission."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.commands import ended
from tests.helpers import run_lab

TEXT = b"hello world, this is a tester x\n\0'\\\xff"


@pytest.fixture
def file(elsewhere: Path) -> str:
    (elsewhere / "foo").write_bytes(TEXT)
    return "foo"


def refused(code: int, *args: str | Path) -> str:
    done = run_lab("peek", *args)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    return line


def test_the_byte_is_printed_as_the_tutorial_has_it(file: str) -> None:
    done = run_lab("peek", file, "30")
    assert (done.returncode, done.stdout, done.stderr) == (0, "byte at offset 30 is 'x'\n", "")


@pytest.mark.parametrize(
    ("offset", "printed"),
    [
        ("0", "0 is 'h'"),
        ("0x1e", "30 is 'x'"),
        ("0X1E", "30 is 'x'"),
        ("31", r"31 is '\n'"),
        ("32", r"32 is '\x00'"),
        ("33", r"33 is '\''"),
        ("34", r"34 is '\\'"),
        ("35", r"35 is '\xff'"),
    ],
)
def test_what_cannot_be_printed_is_escaped_and_offsets_may_be_hexadecimal(file: str, offset: str, printed: str) -> None:
    assert run_lab("peek", file, offset).stdout == f"byte at offset {printed}\n"


@pytest.mark.parametrize("offset", ["36", "-1", "-0x10", "0x24", "99999999999999999999999"])
def test_an_offset_outside_the_file_names_the_range(file: str, offset: str) -> None:
    assert refused(2, file, offset) == f"lab: foo: offset must be 0-35, not {int(offset, 0)}"


@pytest.mark.parametrize("operands", [[], ["foo"], ["foo", "1", "2"]])
def test_any_other_number_of_arguments_prints_the_usage(file: str, operands: list[str]) -> None:
    assert refused(2, *operands) == "usage: python -m lab peek FILE OFFSET [--hex LEN]"


@pytest.mark.parametrize("offset", ["ten", "1_0", "\u0663", " 1", "0x", "1e1"])
def test_what_is_no_number_is_told(file: str, offset: str) -> None:
    told = refused(2, "--", file, offset)
    assert told == f"lab: offset {offset!r} is no whole number; give it in decimal or as 0x..."


@pytest.mark.parametrize(
    "operands",
    [
        ["foo", "--hex", "5", "6"],
        ["--hex", "5", "foo", "6"],
        ["foo", "6", "--hex", "5"],
        ["foo", "--hex=5", "0x6"],
        ["foo", "--traceback", "6", "--hex", "5"],
    ],
)
def test_options_may_stand_anywhere(file: str, operands: list[str]) -> None:
    done = run_lab("peek", *operands)
    assert (done.stdout[:25], done.stderr) == ("00000006  77 6f 72 6c 64 ", "")


def test_an_offset_below_0_may_stand_behind_an_option(file: str) -> None:
    assert refused(2, file, "--hex", "5", "-0x1") == "lab: foo: offset must be 0-35, not -1"


@pytest.mark.parametrize("operands", [["--", "-f", "1"], ["./-f", "1"], ["--", "./-f", "1"]])
def test_a_name_may_begin_with_a_dash(operands: list[str], elsewhere: Path) -> None:
    (elsewhere / "-f").write_text("abc")
    assert run_lab("peek", *operands).stdout == "byte at offset 1 is 'b'\n"


def test_an_unknown_option_is_refused(file: str) -> None:
    assert "unrecognized arguments: --hexa" in refused(2, file, "--hexa", "0")


def test_a_name_with_a_newline_is_told_in_one_line() -> None:
    assert refused(2, "a\nb\x1b[1m", "0").startswith(r"lab: a\nb\x1b[1m: cannot be opened")


def test_hex_prints_offset_bytes_and_text(file: str) -> None:
    assert run_lab("peek", file, "6", "--hex", "5").stdout == (
        "00000006  77 6f 72 6c 64                                    |world|\n"
    )


def test_hex_stops_at_the_end_of_the_file_and_says_so(file: str) -> None:
    done = run_lab("peek", file, "19", "--hex", "100")
    assert done.returncode == 0
    *dumped, last = done.stdout.splitlines()
    assert len(dumped) == 2
    assert last == "(the file ends here, after 17 of 100 bytes)"


def test_a_dump_of_no_byte_is_refused(file: str) -> None:
    assert "0 is too few: at least 1" in refused(2, file, "0", "--hex", "0")


def test_an_empty_file_has_no_byte(elsewhere: Path) -> None:
    (elsewhere / "empty").touch()
    assert "is empty, there is no byte to show: mmap refuses length 0 (EINVAL)" in refused(2, "empty", "0")


def test_a_file_of_proc_has_no_size() -> None:
    assert "files of /proc have no size" in refused(2, "/proc/cpuinfo", "0")


def test_a_directory_a_pipe_a_socket_and_a_device_are_no_files(elsewhere: Path) -> None:
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        told = [refused(2, name, "0") for name in (".", "pipe", "socket", "/dev/zero")]
    kinds = ["a directory", "a pipe", "a socket", "a device"]
    assert [kind for kind, line in zip(kinds, told, strict=True) if f"is {kind}, and only a file" not in line] == []


def test_a_missing_file_and_an_empty_name_are_told() -> None:
    assert refused(2, "gone", "0").startswith("lab: gone: cannot be opened (No such file or directory)")
    assert "an empty name is no file" in refused(2, "", "0")


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
        assert refused(3, file, "0") == f"lab: {told}"
    else:  # root may read everything, so it becomes somebody else
        done = ended([sys.executable, "-c", UNPRIVILEGED, elsewhere])
        assert done.stdout == f"3 {told}\n", done.stderr


def test_a_filesystem_that_cannot_map_is_told_with_the_errno() -> None:
    path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not path.exists():
        pytest.skip("no such file of sysfs here")
    assert "is refused (No such device, ENODEV): this filesystem cannot map files" in refused(3, path, "0")


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
