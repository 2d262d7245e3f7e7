"""The real stage: processes that make the requested calls, one at a time."""
