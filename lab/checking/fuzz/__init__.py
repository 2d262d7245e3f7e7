"""Fuzzing: random programs are drawn, performed on both stages, and shrunk where they differ."""
