"""Layer 6: what things cost, as ratios against a baseline of the same run."""
