"""The steps of the tour, in the chapter's order."""

from __future__ import annotations

from . import access, ending, locking, opening, pages, sharing

STEPS = (
    *opening.STEPS,
    *pages.STEPS,
    *access.STEPS,
    *sharing.FILE_STEPS,
    *ending.STEPS,
    *sharing.STEPS,
    *locking.STEPS,
)
