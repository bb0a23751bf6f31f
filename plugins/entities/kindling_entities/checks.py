"""What ``kindling doctor`` asks the entities plugin."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from kindling_core.checks import Check

if TYPE_CHECKING:
    from kindling_core.app import App

_LOW_DISK_BYTES = 1024**3


def check(app: App | None) -> Iterable[Check]:
    """Return findings about the engines' packages and, with an App, about its root."""
    found = [_package(name) for name in ("pysail", "deltalake", "pyarrow")]
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
        found.append(_package(both[0] if both else "pyspark-client"))
    found.append(_java())
    if app is not None:
        found.extend(_root(app.base_dir / Path(app.config.section("entities").root).expanduser()))
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    found = _version(name)
    if found:
        return Check("ok", name, found)
    return Check("error", name, "not installed", "Run: pip install 'kindling-entities[embedded]'")


def _java() -> Check:
    java = shutil.which("java")
    if java is None:
        return Check("ok", "java", "none found; the embedded engine needs none")
    # java prints its version to standard error, on the first line
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=20)
    lines = (told.stderr or told.stdout).splitlines()
    return Check("ok", "java", f"{lines[0] if lines else 'unknown version'}; the embedded engine needs none")


def _root(root: Path) -> Iterable[Check]:
    # A root that does not exist yet is made by the first write, in the nearest folder that does.
    folder = next(path for path in (root, *root.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
    except OSError as error:
        yield Check("error", "entities.root", f"{root}: {error.strerror}", "Set entities.root to a writable folder.")
        return
    yield Check("ok", "entities.root", f"{root} is writable")
    free = shutil.disk_usage(folder).free
    if free < _LOW_DISK_BYTES:
        yield Check("warning", "disk", f"{free // 1024**2} MiB free at {folder}", "Free some space.")
