"""Derive, from the findings, the verdict on each guarantee, its strength, its evidence, and advice."""
