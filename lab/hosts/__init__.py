"""Layer 7: work on several hosts at once: an agent and a keeper on each, and what they say of a shared mount."""
