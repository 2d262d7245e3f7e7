"""Floor 1, pure: holds and their overlaps, intervals of confidence, summaries. No operating system."""
