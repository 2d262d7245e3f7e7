"""Floor 1: what the host says of itself: /proc, mounts, and the environment of a run."""
