"""Layer 8: write each document as text."""
