"""The real stage: processes that make the calls they are told, one at a time."""
