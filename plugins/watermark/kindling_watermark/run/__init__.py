"""What the feature does in a run: what is read, what is written with it, when it counts."""
