"""What workers that race do to each other, and to the data, for each guarantee."""
