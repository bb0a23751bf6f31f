"""What ``kindling doctor`` asks the entities plugin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from kindling_core.doctor import Check
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX
from kindling_entities.declare.places import root_of
from kindling_entities.engines.spark._java import java_path
from kindling_entities.protocols import Table

if TYPE_CHECKING:
    from kindling_core.app import App
    from kindling_entities.manager import DataEntityManager
    from kindling_entities.read.views import Views

_LOW_DISK_BYTES = 1024**3
_OLDEST_JAVA = 17


def check(app: App | None, manager: DataEntityManager, views: Views) -> Iterable[Check]:
    """Return findings about the engines' packages and, with an App, about its engine, root and tables."""
    settings = None if app is None else app.config.section("entities")
    spark = settings is not None and settings.engine == "spark"
    elsewhere = settings is not None and (settings.spark.remote or "").startswith("sc://")
    extra = "spark" if spark else "embedded"
    found = [_package(name, extra) for name in (("deltalake", "delta-spark") if spark else ("pysail", "deltalake"))]
    found.append(_package("pyarrow", extra))
    both = [name for name in ("pyspark", "pyspark-client") if _version(name)]
    if len(both) == 2:
        found.append(
            Check(
                "error",
                "pyspark",
                "pyspark and pyspark-client are both installed and own the same module",
                "Run: pip uninstall pyspark pyspark-client; then install one of them.",
            )
        )
    else:
        found.append(_package(both[0] if both else "pyspark" if spark else "pyspark-client", extra))
    found.append(_java(needed=spark and not elsewhere))
    if spark and not elsewhere and _version("pyspark") and _version("delta-spark"):
        found.append(_jars())
    root = None if app is None or settings is None else root_of(settings.root, app.base_dir)
    if isinstance(root, Path):
        found.extend(_root(root, not spark))
    if app is not None and settings is not None and _version("deltalake") and _version("pyarrow"):
        found.extend(_tables(app, manager, views))
    return found


def _tables(app: App, manager: DataEntityManager, views: Views) -> Iterable[Check]:
    from kindling_entities.engines._damage import damage

    settings = app.config.section("entities")
    root = root_of(settings.root, app.base_dir)
    sound = 0
    waiting: list[str] = []
    left = manager.get_left_quarantine_ids()
    for entity_id in [*manager.get_entity_ids(), *left]:
        entity = manager.get_entity_definition(entity_id)
        in_catalog = settings.catalog is not None and entity.path is None and not entity.read_only
        location = entity.resolve(root, app.base_dir)
        if entity.provider != "delta" or entity_id in views or in_catalog or "://" in location:
            continue
        told = damage(Table(entity_id, location))
        sound += not told and entity_id not in left
        if entity_id.endswith(QUARANTINE_SUFFIX) and not told and (rows := _rows(Table(entity_id, location))):
            waiting.append(f"{entity_id.removesuffix(QUARANTINE_SUFFIX)} ({rows})")
        for message in told:
            lost = os.path.isdir(os.path.join(location, "_delta_log"))
            yield Check("error" if lost else "warning", entity_id, message)
    if sound:
        yield Check("ok", "tables", f"{sound} that are sound, or not written yet")
    if waiting:
        yield Check("ok", "quarantines", f"rows wait in those of {', '.join(waiting)}; see `kindling quarantine list`")


def _rows(table: Table) -> int | None:
    from kindling_entities.engines._log import describe

    info = describe(table)
    return None if info is None else info.rows


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _package(name: str, extra: str) -> Check:
    found = _version(name)
    if found:
        return Check("ok", name, found)
    return Check("error", name, "not installed", f"Run: pip install 'kindling-entities[{extra}]'")


def _java(needed: bool) -> Check:
    java = java_path()
    if java is None and needed:
        return Check("error", "java", "none found, and Spark needs 17 or newer", "Install one, or set JAVA_HOME.")
    if java is None:
        return Check("ok", "java", "none found; the embedded engine needs none")
    # java prints its version to standard error, on the first line
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=20)
    lines = (told.stderr or told.stdout).splitlines()
    version_line = lines[0] if lines else "unknown version"
    if not needed:
        return Check("ok", "java", f"{version_line}; the embedded engine needs none")
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


def _names(root: Path) -> Iterable[Check]:
    from kindling_entities.engines._places import is_plain, plain_temporary, unreachable, unreachable_text
    from kindling_entities.errors import StorageError

    part = unreachable(str(root))
    if part is not None:
        yield Check(
            "error", "entities.root", f"{root}: {unreachable_text(part)}", "Set entities.root to another folder."
        )
    elif not is_plain(str(root)) or not is_plain(tempfile.gettempdir()):
        try:
            folder = plain_temporary()
        except StorageError as error:
            yield Check("error", "temporary folder", str(error), "Set TMPDIR to a folder with a plain name.")
        else:
            yield Check("ok", "temporary folder", f"{folder} takes the links through which such names are read")


def _root(root: Path, embedded: bool) -> Iterable[Check]:
    # A root that does not exist yet is made by the first write, in the nearest folder that does.
    folder = next(path for path in (root, *root.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
    except OSError as error:
        yield Check("error", "entities.root", f"{root}: {error.strerror}", "Set entities.root to a writable folder.")
        return
    yield Check("ok", "entities.root", f"{root} is writable")
    if embedded:
        yield from _names(root)
    free = shutil.disk_usage(folder).free
    if free < _LOW_DISK_BYTES:
        yield Check("warning", "disk", f"{free // 1024**2} MiB free at {folder}", "Free some space.")
