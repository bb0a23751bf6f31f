"""What the feature does in a run: how the inputs of pipes are read, and their outputs written."""
