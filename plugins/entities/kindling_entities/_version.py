"""The version of the plugin; nothing else states it."""

__version__ = "0.1.0"
