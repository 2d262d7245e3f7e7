"""Layer 8: one page that works from disk, made from records; its template lies beside the Python that fills it."""
