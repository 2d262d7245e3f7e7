"""Layer 5: the matrix of cases, the trial, the recorder of holds, what is measured."""

from __future__ import annotations

from .cases import Case, cases_of, race_for, run, untried
from .worker import Setting

__all__ = ["Case", "Setting", "cases_of", "race_for", "run", "untried"]
