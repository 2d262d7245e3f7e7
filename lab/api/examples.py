"""Remember in `.lab/` which claims failed, and how, so that the next run tries that first.

A file there holds the failures of one call: of an exploration the token of the interleaving that breaks, of a race its
settings. It is removed once the claim passes. The folder is a help and no result: one that cannot be written, or a file
that something else wrote, is ignored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

FOLDER = ".lab"
VARIABLE = "LAB_EXAMPLES"
"""This environment variable, set to 0, switches the folder off."""

MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that failed: the token of its interleaving, or the settings of its race."""

    scenario: str
    lock: str
    workers: int
    token: str = ""
    backing: str = ""
    rounds: int = 0
    seed: int = 0
    manner: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file: the call in words, for people who look, and its failures."""

    call: str
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Example:
    """The failures of one call, in its file below `folder`; None where none are kept."""

    folder: Path | None
    call: str

    @classmethod
    def of(cls, root: Path, *call: str, wanted: bool) -> Example:
        """Return that of the call, which the words tell from all others, below this folder."""
        on = wanted and os.environ.get(VARIABLE, "") != "0"
        return cls(root / FOLDER if on else None, " ".join(filter(None, call)))

    def failures(self) -> list[Failure]:
        """Return the failures of the last run."""
        import msgspec

        if self.folder is None:
            return []
        try:
            with self._file(self.folder).open("rb") as file:
                content = msgspec.json.decode(file.read(MOST_BYTES), type=Content)
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            return []
        return content.failures if content.call == self.call else []

    def keep(self, failures: Sequence[Failure]) -> None:
        """Keep these failures, and no others."""
        import msgspec

        if self.folder is None:
            return
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            ignored = self.folder / ".gitignore"
            if not ignored.exists():
                ignored.write_text("*\n")
            part = self.folder / f".{os.getpid()}"
            part.write_bytes(msgspec.json.encode(Content(self.call, list(failures))))
            part.replace(self._file(self.folder))

    def drop(self) -> None:
        """Forget the failures: the claim passed."""
        if self.folder is not None:
            with suppress(OSError):
                self._file(self.folder).unlink()

    def _file(self, folder: Path) -> Path:
        return folder / f"{self.call.partition(' ')[0]}-{blake2b(self.call.encode(), digest_size=6).hexdigest()}.json"


def sent(failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Return the failures as JSON values."""
    return [asdict(failure) for failure in failures]
