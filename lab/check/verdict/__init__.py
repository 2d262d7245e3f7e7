"""From what was found to the verdict a guarantee, its strength, its evidence, and advice."""
