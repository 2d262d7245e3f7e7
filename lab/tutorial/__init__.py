"""Floor 4: what the tutorial on memory-mapped files claims, made to happen here."""
