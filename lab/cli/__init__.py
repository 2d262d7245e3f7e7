"""Layer 9: one module a command: parse, call one verb, print; nothing else.

Command modules import their verbs inside `run`: `lab list` must not wait for what only `race` needs.
"""

from __future__ import annotations

from .main import main

__all__ = ["main"]
