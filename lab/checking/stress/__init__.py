"""The stress: races for each guarantee, which show overlaps of the workers' holds and corruption of the data."""
