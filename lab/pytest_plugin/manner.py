"""How workers raced, where that is not by themselves, and how a person is told."""

from __future__ import annotations

GAVE_WAY, SLEPT = "gave way", "slept"
"""What the workers did in the middle of their work; nothing, an empty text, where they raced as they are."""

TOLD = {
    GAVE_WAY: "on one processor, where workers gave way inside the lock: else they met too seldom",
    SLEPT: "workers slept inside the lock, and before they asked again: else they met too seldom",
}
