"""Layer 8: each document as text."""
