"""Streams in micro-batches: a plugin that uses the core as any third party would."""
