"""Layer 5: explore every interleaving of a scenario over simulated bytes, and replay one on the real kernel."""
