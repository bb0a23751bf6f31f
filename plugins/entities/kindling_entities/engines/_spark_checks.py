"""What ``kindling doctor`` asks about the spark engine.

Outside the engine's package, which imports packages that may be missing.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kindling_core.doctor import Check
from kindling_entities.engines._java import java_path
from kindling_entities.engines._packages import installed, packages

if TYPE_CHECKING:
    from kindling_core.app import App

_OLDEST_JAVA = 17


def checks(app: App | None) -> Iterable[Check]:
    """Look at the packages and, where Spark runs on this machine, at Java and the jar of Delta Lake."""
    yield from packages(("deltalake", "delta-spark", "pyarrow"), "pyspark", "spark")
    remote = None if app is None else app.config.section("entities").spark.remote
    if (remote or "").startswith("sc://"):
        return
    yield _java()
    if installed("pyspark") and installed("delta-spark"):
        yield _jars()


def _java() -> Check:
    java = java_path()
    if java is None:
        return Check("error", "java", "none found, and Spark needs 17 or newer", "Install one, or set JAVA_HOME.")
    # java prints its version to standard error, on the first line
    found = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=20)
    lines = (found.stderr or found.stdout).splitlines()
    version_line = lines[0] if lines else "unknown version"
    major = re.search(r'"(\d+)', version_line)
    if major is not None and int(major.group(1)) < _OLDEST_JAVA:
        return Check("error", "java", f"{version_line} is too old for Spark 4", "Install Java 17 or newer.")
    return Check("ok", "java", version_line)


def _jars() -> Check:
    from kindling_entities.engines.spark import _jars as jars

    if jars.resolved(os.environ):
        return Check("ok", "delta jar", f"{jars.coordinates()} is on this machine")
    return Check(
        "warning", "delta jar", f"{jars.coordinates()} is fetched by the first run", "It needs the network once."
    )
