"""Layer 10: each command is one module, which parses, calls one verb, and prints; nothing else.

Command modules import their verbs inside `run`: `lab list` must not wait for what only `race` needs.
"""

from __future__ import annotations

from .main import main

__all__ = ["main"]
