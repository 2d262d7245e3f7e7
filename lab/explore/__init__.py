"""Layer 5: every interleaving of a scenario over simulated bytes, and the replay of one on the real kernel."""
