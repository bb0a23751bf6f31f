"""Rules that every engine keeps to: which keys are equal, what is refused, how a schema may change. Pure functions."""
