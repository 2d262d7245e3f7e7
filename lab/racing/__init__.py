"""Layer 5: the race, with its matrix of cases, the trial, the recorder of holds, and the measured figures."""

from __future__ import annotations

from .cases import Case, cases_of, race_for, run, untried
from .worker import Setting

__all__ = ["Case", "Setting", "cases_of", "race_for", "run", "untried"]
