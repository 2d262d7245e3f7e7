"""The stage on which the model of the kernel performs."""
