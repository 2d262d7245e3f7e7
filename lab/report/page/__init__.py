"""Layer 8: make one page that works from disk, from records; its template is beside the Python that fills it."""
