"""Layer 7: what the tutorial on memory-mapped files claims, made to happen here."""
