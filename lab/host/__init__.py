"""Layer 3: what the host says of itself: /proc, mounts, and the environment of a run."""
