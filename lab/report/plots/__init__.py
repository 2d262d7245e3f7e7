"""Layer 8: draw a run. Only this part of the lab imports matplotlib, which is slow to import and starts threads."""
