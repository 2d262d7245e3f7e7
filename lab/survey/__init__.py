"""Layer 6: the locks compared, each cell of the table seen here.

A property is a short play of actors, processes that are stepped one call at a time: one holds the lock, another asks
for it, and whoever was to wait must be let in once the holder gives the lock back.
"""

from __future__ import annotations

from .locks import Candidate, compare, find_candidates

__all__ = ["Candidate", "compare", "find_candidates"]
