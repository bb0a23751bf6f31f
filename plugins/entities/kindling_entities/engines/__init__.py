"""Engines: what computes frames and commits tables."""
