"""Floor 5: each document as text."""
