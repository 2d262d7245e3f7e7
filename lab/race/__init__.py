"""Floor 4: the matrix of cases, the trial, the recorder of holds, what is measured."""

from __future__ import annotations

from .matrix import Case, cases_of, untried
from .run import run
from .setting import Setting
from .soak import race_for

__all__ = ["Case", "Setting", "cases_of", "race_for", "run", "untried"]
