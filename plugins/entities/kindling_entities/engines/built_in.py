"""The engines that come with the plugin, as they describe themselves. Imports none of them before the first use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kindling_core.errors import ConfigError
from kindling_entities.kinds import EngineKind

if TYPE_CHECKING:
    from kindling_core.app import App
    from kindling_core.doctor import Check
    from kindling_entities.protocols import Engine


def built_in() -> list[EngineKind]:
    """Return the embedded engine, Spark, and the choice between the two."""
    return [
        EngineKind("embedded", _embedded, checks=_embedded_checks),
        EngineKind("spark", _spark, catalogs=True, checks=_spark_checks),
        EngineKind("auto", _auto, catalogs=True, checks=_auto_checks),
    ]


def _embedded(app: App) -> Engine:
    try:
        from kindling_entities.engines.embedded import EmbeddedEngine
    except ImportError as error:
        raise ConfigError(
            f"The embedded engine lacks the module {error.name!r}. Run: pip install 'kindling-entities[embedded]'"
        ) from error
    return EmbeddedEngine()


def _embedded_checks(app: App | None) -> Iterable[Check]:
    from kindling_entities.engines._embedded_checks import checks

    return checks(app)


def _spark(app: App) -> Engine:
    try:
        from kindling_entities.engines.spark import SparkEngine
    except ImportError as error:
        raise ConfigError(
            f"The spark engine lacks the module {error.name!r}. Run: pip install 'kindling-entities[spark]'"
        ) from error
    settings = app.config.section("entities").spark
    return SparkEngine(settings.master, settings.remote, settings.conf, app.name)


def _spark_checks(app: App | None) -> Iterable[Check]:
    from kindling_entities.engines._spark_checks import checks

    return checks(app)


def _auto(app: App) -> Engine:
    """Spark where this process runs a session already, as on a platform, else the embedded engine."""
    return _spark(app) if _spark_runs() else _embedded(app)


def _auto_checks(app: App | None) -> Iterable[Check]:
    return _spark_checks(app) if _spark_runs() else _embedded_checks(app)


def _spark_runs() -> bool:
    try:
        from kindling_entities.engines.spark._session import running_session
    except ImportError:
        # Without its packages nothing can run; what is missing is said for the engine that is taken.
        return False
    return running_session() is not None
