"""Name the places in a program that its calls came from: the source line where debugging information has it.

A Python or Java program's places are its own lines, which the library recorded; those of compiled code are addresses,
and are looked up in the ELF and DWARF sections of the file that was loaded there (pyelftools).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lab.analysis.watched import Event, History, Image

MOST_LINES, FEW_LINES = 32 << 20, 1 << 20
"""Line tables larger than this, in bytes, are not read as a whole: it would take longer than the watched program. Where
the file says which addresses its units have, an address in none of them is worth less.
"""


class Frame(NamedTuple):
    """One frame of a stack: its source file and line, empty and 0 where they are not known, and its function."""

    path: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{Path(self.path).name}:{self.line} {self.function}".rstrip() if self.line else self.function


class Places:
    """The places of the events of one history."""

    def __init__(self, history: History) -> None:
        self._images = history.images
        self._stacks: dict[tuple[int, int], tuple[Frame, ...]] = {}
        self._root = project_root()

    def frames(self, event: Event) -> tuple[Frame, ...]:
        """Return the frames of a call, innermost first."""
        if event.stack not in self._stacks:
            image, key = self._images[event.stack[0]], event.stack[1]
            self._stacks[event.stack] = tuple(_interpreted(image, key) or _native(image, key))
        return self._stacks[event.stack]

    def stack(self, event: Event) -> tuple[str, ...]:
        """Return the frames of a call, innermost first, as "file:line function" where the line is known."""
        return tuple(map(str, self.frames(event)))

    def place(self, event: Event) -> str:
        """Return the innermost frame whose source line is known, else the innermost; empty where there is no stack."""
        frames = self.frames(event)
        root = _root_of_go(frames)
        lines = [frame for frame in frames if frame.line]
        own = [frame for frame in lines if not root or not frame.path.startswith(root)]
        return str([*own, *lines, *frames][0]) if frames else ""

    def source(self, event: Event) -> tuple[str, int]:
        """Return the innermost source line in the project: its path from the project's root; "" and 0 where none is."""
        for frame in self.frames(event):
            if frame.line:
                path = Path(os.path.normpath(Path.cwd() / frame.path))
                if path.is_relative_to(self._root) and path.exists():
                    return path.relative_to(self._root).as_posix(), frame.line
        return "", 0


def project_root() -> Path:
    """Return the nearest folder with .git, from the current one upwards, else the current one."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


CALLS_OF_GO = ("runtime/internal/syscall.Syscall6", "internal/runtime/syscall.Syscall6")  # since 1.23 the second


def _root_of_go(frames: Sequence[Frame]) -> str:
    """Return where the standard library of Go is, through which its programs make every call; empty for others."""
    at = frames[0].path if frames and frames[0].function.endswith(CALLS_OF_GO) else ""
    return at.partition("/runtime/")[0].removesuffix("/internal") + "/" if at else ""


LIBRARY = (f"{os.sep}lib{os.sep}python", f"{os.sep}site-packages{os.sep}", "<frozen ")
JDK = ("java/", "javax/", "jdk/", "sun/", "com/sun/")


def _is_library(path: str) -> bool:
    """Tell whether a file is the language's own: of the standard library of Python, or of the JDK."""
    return path.startswith(JDK) if path.endswith(".java") else any(part in path for part in LIBRARY)


def _interpreted(image: Image, key: int) -> list[Frame]:
    """Return the frames of Python or Java; those of the user come before those of the standard library."""
    frames = image.interpreted.get(key, [])
    own = [frame for frame in frames if not _is_library(frame[0])]
    return [Frame(*frame) for frame in own or frames]


def _native(image: Image, key: int) -> list[Frame]:
    named = []
    for address in image.stacks.get(key, []):
        for start, end, offset, path in image.code:
            if start <= address < end:
                named.append(_elf(path).place(address - start + offset - 1))  # the call is before the return address
                break
    return named


class _Elf:
    """One program or library: its functions, and its source lines where it has them."""

    def __init__(self, path: str) -> None:
        self._path = path

    def place(self, offset: int) -> Frame:
        """Return the frame of an offset in the file; without a name, its function is the file's and the offset."""
        address = address_at(self._segments, offset)
        function = self._name(address)
        lines = self._lines.around(address)
        found = bisect_right(lines, (address, "\uffff", 0)) - 1
        if found >= 0 and lines[found][2]:
            return Frame(lines[found][1], lines[found][2], function)
        return Frame("", 0, function or f"{Path(self._path).name}+{address:#x}")

    @cached_property
    def _parsed(self) -> Any:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile

        try:
            elf = ELFFile(Path(self._path).open("rb"))  # noqa: SIM115 - its lines are read when they are asked for
            return segments(elf), _functions(elf), _Lines(elf)
        except (OSError, ELFError):
            return [], [], _Lines(None)

    @property
    def _segments(self) -> list[tuple[int, int, int]]:
        segments: list[tuple[int, int, int]] = self._parsed[0]
        return segments

    @property
    def _lines(self) -> _Lines:
        lines: _Lines = self._parsed[2]
        return lines

    def _name(self, address: int) -> str:
        functions = self._parsed[1]
        found = bisect_right(functions, (address, "\uffff", 0)) - 1
        if found >= 0 and address < functions[found][0] + max(1, functions[found][2]):
            return str(functions[found][1])
        return ""


_elf = cache(_Elf)


def segments(elf: Any) -> list[tuple[int, int, int]]:
    """Return what of a file is loaded: the place in the file, the size, and the address that it is linked at."""
    return [
        (part["p_offset"], part["p_filesz"], part["p_vaddr"])
        for part in elf.iter_segments()
        if part["p_type"] == "PT_LOAD"
    ]


def address_at(loaded: list[tuple[int, int, int]], offset: int) -> int:
    """Return the address that an offset in the file is linked at, 0 where that is not loaded."""
    return next((offset - start + at for start, size, at in loaded if start <= offset < start + size), 0)


def _functions(elf: Any) -> list[tuple[int, str, int]]:
    tables = [elf.get_section_by_name(name) for name in (".symtab", ".dynsym")]
    return sorted(
        (symbol["st_value"], symbol.name, symbol["st_size"])
        for table in tables
        if table is not None
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_value"]
    )


Line = tuple[int, str, int]
"""An address, the file, and the line; line 0 ends a sequence."""


class _Lines:
    """The source lines of a file: those of a compilation unit are read when an address in it is asked for."""

    def __init__(self, elf: Any) -> None:
        """Find the units, where the file says which addresses they have (.debug_aranges)."""
        table = elf and elf.get_section_by_name(".debug_line")
        self._dwarf: Any = elf.get_dwarf_info() if table else None
        self._ranges: Any = self._dwarf.get_aranges() if self._dwarf else None
        size = table["sh_size"] if table else 0
        self._reads_all = 0 < size <= (FEW_LINES if self._ranges else MOST_LINES)
        self._units: dict[int, list[Line]] = {}
        self._all: list[Line] | None = None

    def around(self, address: int) -> list[Line]:
        """Return the lines of the unit of an address; where that is not known, all of them."""
        unit = self._ranges.cu_offset_at_addr(address) if self._ranges else None
        if unit is not None:
            if unit not in self._units:
                self._units[unit] = _source_lines(self._dwarf, [self._dwarf.get_CU_at(unit)])
            return self._units[unit]
        if self._all is None:
            self._all = _source_lines(self._dwarf, self._dwarf.iter_CUs()) if self._reads_all else []
        return self._all


def _source_lines(dwarf: Any, units: Iterable[Any]) -> list[Line]:
    """Return the lines of some units, by address. Source: DWARF 5, 6.2."""
    lines = []
    for unit in units:
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        first = 0 if program["version"] >= 5 else 1
        folders = _folders(unit, program)
        names = [
            "/".join([*folders[each.dir_index : each.dir_index + 1], each.name.decode(errors="replace")])
            for each in program["file_entry"]
        ]
        for entry in program.get_entries():
            if state := entry.state:
                at = state.file - first
                name = names[at] if 0 <= at < len(names) else "?"
                lines.append((state.address, name, 0 if state.end_sequence else state.line))
    return sorted(lines)


def _folders(unit: Any, program: Any) -> list[str]:
    """Return the folders that a line table names, by their numbers; the first is that of the compilation."""
    attribute = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
    base = attribute.value.decode(errors="replace") if attribute else ""
    named = [each.decode(errors="replace") for each in program["include_directory"]]
    return [os.path.join(base, each) for each in (named if program["version"] >= 5 else ["", *named])]  # noqa: PTH118
