"""Layer 6: the lock survey compares the locks; each cell of its table is observed here.

An experiment on a property is a short program of actors, which are processes that are stepped one call at a time: one
holds the lock, another requests it, and any actor that had to wait must be granted the lock once the holder releases
it.
"""

from __future__ import annotations

from .locks import Candidate, compare, find_candidates, needs_of

__all__ = ["Candidate", "compare", "find_candidates", "needs_of"]
