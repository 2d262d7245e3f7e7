"""Layer 7: the claims of the tutorial on memory-mapped files, each performed and observed here."""
