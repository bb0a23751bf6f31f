"""What a user declares: the options of pipes, and whether they can be kept."""
