"""Layer 1: the semantics of locks, without any operating system: which requests are granted, wait, or deadlock."""
