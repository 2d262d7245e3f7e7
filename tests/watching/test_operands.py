"""The decoder of machine instructions says of each how long it is and how many bytes it touches: as binutils does."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

import pytest

import lab.watching

HERE = Path(__file__).parent
SIZES = {"BYTE": 1, "WORD": 2, "DWORD": 4, "FWORD": 6, "QWORD": 8, "TBYTE": 10}
SIZES |= {"OWORD": 16, "XMMWORD": 16, "YMMWORD": 32, "ZMMWORD": 64}
# What only kernels use, prefixes that no compiler writes, and forms that processors refuse.
LEFT_OUT = r"(rex\.W |data16 |repn?z )*(vm(ptr\w+|clear|xon)|push|pop|\w*ssbsy|ptwrite)|(vpsh.dw|vdbpsadbw).*BCST"


@pytest.mark.needs("compiler")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="it decodes instructions of x86-64")
def test_operands_have_the_sizes_that_the_disassembler_tells(tmp_path: Path) -> None:
    sources = Path(str(lab.watching.__file__)).parent
    program, code = tmp_path / "operands", tmp_path / "code"
    compiler = ["cc", "-w", "-I", str(sources), str(HERE / "operands.c"), "-o", str(program)]
    subprocess.run(compiler, check=True)
    told = subprocess.run([str(program), str(code)], capture_output=True, text=True, check=True).stdout
    ours = {start: (int(length), int(size)) for start, length, size in map(str.split, told.splitlines())}
    command = ["objdump", "-D", "-w", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", str(code)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    compared, wrong = 0, []
    for start, code_, text in re.findall(r"^\s*([0-9a-f]+):\t([0-9a-f ]+)\t(.*)$", listing, re.MULTILINE):
        operand = re.search(r"(\w+) (PTR|BCST) \[rax\]", text)
        if start not in ours or not operand or "bad" in text or re.match(LEFT_OUT, text):
            continue
        compared += 1
        if ours[start] != (len(code_.split()), SIZES[operand[1]]):
            wrong.append(f"{text}: decoded as {ours[start]}")
    assert compared > 5000
    assert not wrong
