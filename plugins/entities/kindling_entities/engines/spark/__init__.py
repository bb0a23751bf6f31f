"""The spark engine: Spark computes, Delta Lake commits."""

from kindling_entities.engines.spark.engine import SparkEngine

__all__ = ["SparkEngine"]
