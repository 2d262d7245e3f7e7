"""Floor 5: is locking safe on a mount. Rules, random programs, a soak and faults, and the promises that they judge."""
