"""Delta Lake's jars: resolved once by Spark's own Ivy, quietly, then taken from its cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kindling_entities.errors import EngineError

# Resolves in a process of its own: Ivy writes pages to standard error, and the JVM would keep it for ever.
_RESOLVE = """
import json, sys
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[1]")
for key, value in json.loads(sys.argv[1]).items():
    builder = builder.config(key, value)
session = builder.getOrCreate()
print("jars=" + session.sparkContext.getConf().get("spark.jars", ""))
session.stop()
"""
_RESOLVE_SECONDS = 600
_CONNECT = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_API_MODE")


def coordinates() -> str:
    """The Maven coordinates of the Delta Lake that goes with the installed delta-spark and pyspark.

    Raises:
        EngineError: one of them is not installed.
    """
    try:
        delta, spark = version("delta-spark"), version("pyspark")
    except PackageNotFoundError as error:
        raise EngineError(
            f"The spark engine lacks the package {error.name!r}. Run: pip install 'kindling-entities[spark]'"
        ) from None
    # Since 4.1 the artifact names the Spark line that it was built for.
    line = "_" + ".".join(spark.split(".")[:2]) if tuple(map(int, delta.split(".")[:2])) >= (4, 1) else ""
    return f"io.delta:delta-spark{line}_2.13:{delta}"


def resolve(conf: Mapping[str, str], environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the paths of Delta Lake's jars and of the job's own ``spark.jars.packages``.

    Args:
        conf: the job's settings; those about jars (repositories, ivySettings) are honoured.

    Raises:
        EngineError: the jars cannot be had; carries the end of what Ivy said.
    """
    wanted = {key: value for key, value in conf.items() if key.startswith("spark.jars")}
    packages = ",".join(filter(None, [coordinates(), wanted.get("spark.jars.packages", "")]))
    wanted["spark.jars.packages"] = packages
    note = _note(environ if environ is not None else os.environ, wanted)
    known = _remembered(note)
    if known:
        return _beyond_spark(known, wanted)
    done = subprocess.run(
        [sys.executable, "-c", _RESOLVE, json.dumps({**wanted, "spark.ui.enabled": "false"})],
        capture_output=True,
        text=True,
        check=False,
        timeout=_RESOLVE_SECONDS,
        env={key: value for key, value in os.environ.items() if key not in _CONNECT},
    )
    answer = [line for line in done.stdout.splitlines() if line.startswith("jars=")]
    if done.returncode != 0 or not answer:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reasons = [line for line in lines if "unresolved" in line.lower() or "not found" in line] or lines[-1:]
        raise EngineError(
            f"Delta Lake's jar {packages} cannot be resolved: {'; '.join(reasons[:3])}. Check the network, name a "
            "mirror in spark.jars.repositories or spark.jars.ivySettings under [entities.spark.conf], or use "
            'engine = "embedded".'
        )
    jars = [path.removeprefix("file://") for path in answer[-1].removeprefix("jars=").split(",") if path]
    note.parent.mkdir(parents=True, exist_ok=True)
    partial = note.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(jars))
    partial.replace(note)
    return _beyond_spark(jars, wanted)


def _beyond_spark(jars: list[str], wanted: Mapping[str, str]) -> list[str]:
    """Leave out what Spark has itself, in whichever version: its own wins, and 60 MB need not reach each executor."""
    if wanted["spark.jars.packages"] != coordinates():
        # The job's own packages may count on a version.
        return jars
    import pyspark

    own = {_artifact(path.name) for path in Path(pyspark.__file__).with_name("jars").glob("*.jar")}
    return [jar for jar in jars if _artifact(Path(jar).name.partition("_")[2]) not in own]


def _artifact(file: str) -> str:
    return re.split(r"-\d", file, maxsplit=1)[0]


def resolved(environ: Mapping[str, str]) -> bool:
    """Whether the jars of a job without further packages are on this machine already."""
    return bool(_remembered(_note(environ, {"spark.jars.packages": coordinates()})))


def _note(environ: Mapping[str, str], wanted: Mapping[str, str]) -> Path:
    digest = hashlib.sha256(json.dumps(dict(wanted), sort_keys=True).encode()).hexdigest()[:16]
    cache = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "kindling" / f"spark-jars-{digest}.json"


def _remembered(note: Path) -> list[str]:
    try:
        jars: list[str] = json.loads(note.read_text())
    except (OSError, ValueError):
        return []
    return jars if jars and all(os.path.isfile(jar) for jar in jars) else []
