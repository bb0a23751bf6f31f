"""What happens to rows on their way into a table."""
