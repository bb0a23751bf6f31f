"""SQLite tables as entities of Kindling jobs."""

from kindling_sqlite.plugin import SqlitePlugin, SqliteSettings
from kindling_sqlite.provider import SqliteProvider

__all__ = ["SqlitePlugin", "SqliteProvider", "SqliteSettings"]
