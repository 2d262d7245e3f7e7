"""Layer 8: tables and verdicts, pure functions of a results record; and the progress of a run."""
