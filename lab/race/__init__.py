"""Floor 4: the matrix of cases, the trial, the recorder of holds, what is measured."""

from __future__ import annotations

from .matrix import Case, Options, cases_of, run_cases

__all__ = ["Case", "Options", "cases_of", "run_cases"]
