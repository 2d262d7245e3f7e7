"""Race workers that are programs in any language: started, released together, observed from outside, and ended.

`command` reads `--program`, `start` releases those that wait for a signal, `samples` looks at their locks, `watch` runs
one trial's processes, `alone` is the trial of a program and a check file, `cases` makes the rows.
"""

from __future__ import annotations

from .launch import Program, program_of

__all__ = ["Program", "program_of"]
