"""Workers that are programs in any language: started, released together, watched from outside, and ended.

`command` reads `--program`, `start` releases those that wait for a signal, `samples` looks at their locks, `watch` runs
one trial's processes, `alone` is the trial of a program and a check file, `cases` makes the rows to be.
"""

from __future__ import annotations

from .launch import Program, program_of

__all__ = ["Program", "program_of"]
