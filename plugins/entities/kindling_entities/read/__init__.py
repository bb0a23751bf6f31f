"""Frames that several pipes of a run share, and views, which are computed when they are read."""
