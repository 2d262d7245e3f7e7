"""Race workers that are programs in any language: started, released together, observed from outside, and ended.

`launch` reads `--program` and releases the programs that wait for a signal, `watch` runs one trial's processes,
`samples` has what was seen of their locks, `explain` says why a copy failed, and `cases` makes the rows and runs the
trial of a program and a check file.
"""

from __future__ import annotations

from .launch import Program, program_of

__all__ = ["Program", "program_of"]
