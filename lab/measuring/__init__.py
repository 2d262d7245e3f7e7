"""Layer 6: measure what locks and copies cost, as ratios against a baseline of the same run."""
