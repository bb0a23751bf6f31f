"""What can be typed? One command in a file."""
