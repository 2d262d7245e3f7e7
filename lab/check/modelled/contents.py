"""What is in the files of the model's stage: read, written, cut short, and loaded and stored through mappings."""

from __future__ import annotations

from lab.model.files import Inode

PAGE = 4096
"""The unit in which a mapping reaches beyond the end of its file (mmap(2))."""


class Contents:
    """The bytes of every file, by its inode; a file that nobody wrote to is empty."""

    def __init__(self) -> None:
        self._bytes: dict[int, bytearray] = {}

    def read(self, inode: Inode, start: int, length: int) -> bytes:
        """The bytes there, fewer or none where the file ends (pread(2))."""
        return bytes(self._of(inode)[start : start + length])

    def write(self, inode: Inode, start: int, data: bytes) -> None:
        """Put the bytes there; the file grows as far as they reach (pwrite(2))."""
        content = self._of(inode)
        content.extend(bytes(max(0, start + len(data) - len(content))))
        content[start : start + len(data)] = data
        inode.size = len(content)

    def truncate(self, inode: Inode, size: int) -> None:
        """Make it so long, with zeros where it grows (ftruncate(2))."""
        content = self._of(inode)
        content[:] = content[:size].ljust(size, b"\0")
        inode.size = size

    def reaches(self, inode: Inode, end: int) -> bool:
        """True where a mapping can be touched up to there: within the last page of the file; beyond it is SIGBUS."""
        return end <= -(-inode.size // PAGE) * PAGE

    def load(self, inode: Inode, start: int, length: int) -> bytes:
        """The bytes through a mapping: zeros behind the end of the file."""
        return self.read(inode, start, length).ljust(length, b"\0")

    def store(self, inode: Inode, start: int, data: bytes) -> None:
        """Put the bytes there through a mapping, which makes no file longer."""
        self.write(inode, start, data[: max(0, inode.size - start)])

    def _of(self, inode: Inode) -> bytearray:
        return self._bytes.setdefault(id(inode), bytearray())


class PrivatePages:
    """The pages that a private mapping has stored to: from then on they are its own, and no longer the file's."""

    def __init__(self) -> None:
        self._own: dict[int, bytearray] = {}

    def load(self, contents: Contents, inode: Inode, start: int, length: int) -> bytes:
        """The bytes through the mapping: of its own pages, and of the file's as they are now."""
        pages = {place // PAGE: b"" for place in range(start, start + length)}
        whole = b"".join(bytes(self._own.get(page) or contents.load(inode, page * PAGE, PAGE)) for page in pages)
        return whole[start % PAGE :][:length]

    def store(self, contents: Contents, inode: Inode, start: int, data: bytes) -> None:
        """Put the bytes there, into pages that are copied before."""
        for place, byte in enumerate(data, start):
            page = place // PAGE
            if page not in self._own:
                self._own[page] = bytearray(contents.load(inode, page * PAGE, PAGE))
            self._own[page][place % PAGE] = byte
