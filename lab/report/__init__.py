"""Layer 8: make tables, verdicts and pictures from a results record, by pure functions; show the progress of a run."""
