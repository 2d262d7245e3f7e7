"""Crash a scenario at every point: what is left of the file, what recovery makes of it, and whether that holds."""
