"""Layer 1: pure analysis of what was recorded: holds, accesses, lost updates, torn data, statistics."""
