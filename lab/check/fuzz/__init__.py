"""Random programs, drawn, performed on both stages, and shrunk where they differ."""
