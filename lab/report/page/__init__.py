"""Floor 5: one page that works from disk, made from records; its template files lie beside the Python that fills them."""
