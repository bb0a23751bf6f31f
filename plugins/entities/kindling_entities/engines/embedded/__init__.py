"""The embedded engine: Sail computes, delta-rs commits, no Java."""

from kindling_entities.engines.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
