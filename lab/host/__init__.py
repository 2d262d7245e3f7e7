"""Layer 3: the facts about the host: /proc, mounts, and the environment of a run."""
