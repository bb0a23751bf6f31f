"""Find the running Spark session, or build a session with Delta Lake."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kindling_entities.engines._clients import close_alone
from kindling_entities.engines._java import java_path
from kindling_entities.engines._naive import naive_is_utc
from kindling_entities.engines.spark import _jars
from kindling_entities.errors import EngineError

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
# Spark's default, INT96, holds no statistics, and other readers take it for nanoseconds, which end in 2262.
_TIMESTAMPS = ("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
# Local runs: Spark's defaults are those of a cluster and cost seconds on a laptop.
_LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.shuffle.partitions": "8",
    "spark.sql.session.timeZone": "UTC",
}


def running_session() -> Any | None:
    """The session that this process has already, of a notebook, a platform or an earlier App; None if there is none."""
    if "pyspark" not in sys.modules:
        return None
    if "pyspark.sql.connect.session" in sys.modules:
        from pyspark.sql.connect.session import SparkSession as ConnectSession

        session = ConnectSession.getActiveSession()
        # Sail's sessions belong to the embedded engine of another App.
        if session is not None and not getattr(session, "_kindling_embedded", False):
            return session
    if getattr(sys.modules["pyspark"], "SparkContext", None) is None:
        return None
    from pyspark import SparkContext

    if SparkContext._active_spark_context is None:
        return None
    from pyspark.sql import SparkSession

    return SparkSession.getActiveSession() or SparkSession._instantiatedSession


def write_microseconds(session: Any) -> bool:
    """Let a session that is not ours write timestamps as microseconds, unless its settings choose a type.

    Returns:
        Whether the setting was made, so that it can be taken back.
    """
    name, wanted = _TIMESTAMPS
    if session.conf.get(name, wanted) == wanted:
        return False
    chosen = getattr(session.conf, "getAll", None)
    if chosen is None:
        chosen = {row[0]: row[1] for row in session.sql("set").collect()}
    if name in chosen:
        return False
    session.conf.set(name, wanted)
    return True


def write_as_before(session: Any) -> None:
    """Take ``write_microseconds`` back."""
    session.conf.unset(_TIMESTAMPS[0])


def is_connect(session: Any) -> bool:
    """Whether a session talks to its Spark through Spark Connect."""
    return type(session).__module__.startswith("pyspark.sql.connect")


def build_session(master: str | None, remote: str | None, conf: Mapping[str, str], name: str) -> Any:
    """Start Spark, or connect to it.

    Args:
        master: such as ``local[4]`` or ``spark://host:7077``.
        remote: ``sc://host:port`` of a Spark Connect server, which must have Delta Lake itself; or ``local[n]``,
            which starts a session.
        conf: further ``spark.*`` settings, the strongest.

    Raises:
        EngineError: no Java, no jar, no server; says what to do.
    """
    try:
        import pyspark  # noqa: F401
    except ImportError:
        raise EngineError("The spark engine needs pyspark. Run: pip install 'kindling-entities[spark]'") from None
    # Workers must run the Python of the driver, not whatever `python3` is on their path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    elsewhere = remote is not None and remote.startswith("sc://")
    settings = dict([_TIMESTAMPS]) | dict(conf)
    if not elsewhere:
        if java_path() is None:
            raise EngineError(
                "Spark needs Java 17 or newer and none was found. Install one, set JAVA_HOME, "
                'or use engine = "embedded", which needs none.'
            )
        jars = [*_jars.resolve(conf), *filter(None, [conf.get("spark.jars", "")])]
        settings = {**_LOCAL, **_DELTA, **settings, "spark.jars": ",".join(jars)}
        settings.pop("spark.jars.packages", None)
        extensions = {conf.get("spark.sql.extensions", ""), _DELTA["spark.sql.extensions"]} - {""}
        settings["spark.sql.extensions"] = ",".join(sorted(extensions))
        _quiet(settings)
    if settings.get("spark.sql.session.timeZone") == "UTC":
        naive_is_utc()
    try:
        return _remote(remote, settings, name) if remote is not None else _classic(master or "local[*]", settings, name)
    except EngineError:
        raise
    except Exception as error:
        where = f"remote {remote!r}" if remote else f"master {master or 'local[*]'!r}"
        raise EngineError(f"Spark did not start ({where}): {str(error).strip().splitlines()[0]}") from error


def _quiet(settings: dict[str, str]) -> None:
    """Keep the JVM from reporting its start on standard error; a user's own logging configuration stays."""
    given = settings.get("spark.driver.extraJavaOptions", "")
    if "log4j" not in given and "spark.log.level" not in settings and "SPARK_CONF_DIR" not in os.environ:
        file = Path(__file__).with_name("log4j2.properties").as_uri()
        settings["spark.driver.extraJavaOptions"] = f"-Dlog4j2.configurationFile={file} {given}".rstrip()


def _classic(master: str, settings: Mapping[str, str], name: str) -> Any:
    if "pysail" in sys.modules:
        raise EngineError("This process has run the embedded engine, and pyspark allows one kind of session a process.")
    # Left by a parent process; it would make pyspark look for a Connect server.
    os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    from pyspark.sql.session import SparkSession

    builder = SparkSession.builder.master(master).appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    if "spark.log.level" not in settings:
        session.sparkContext.setLogLevel("ERROR")
    return session


def _remote(remote: str, settings: Mapping[str, str], name: str) -> Any:
    # `pyspark.sql.functions` must build Connect columns from here on.
    os.environ.setdefault("SPARK_CONNECT_MODE_ENABLED", "1")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.remote(remote).appName(name)
    for key, value in settings.items():
        builder = builder.config(key, value)
    with warnings.catch_warnings():
        # Static settings reach the server that is started here, and cannot be set again on the session.
        warnings.filterwarnings("ignore", message="Failed to set")
        session: Any = builder.getOrCreate()
    close_alone(session.client)
    return session
