"""What is read once for several pipes, and what is computed when it is read."""
