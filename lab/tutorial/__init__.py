"""Floor 4: what the chapter on memory-mapped files claims, made to happen here."""
