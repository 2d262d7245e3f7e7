"""From what was found to the verdict a promise, its strength, its evidence, and advice."""
