"""What ``kindling doctor`` asks about the embedded engine.

Outside the engine's package, which imports packages that may be missing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kindling_core.doctor import Check
from kindling_entities.declare.places import root_of
from kindling_entities.engines._packages import packages
from kindling_entities.errors import StorageError

if TYPE_CHECKING:
    from kindling_core.app import App


def checks(app: App | None) -> Iterable[Check]:
    """Look at the packages and, with an App, at names of folders that Sail cannot read."""
    yield from packages(("pysail", "deltalake", "pyarrow"), "pyspark-client", "embedded")
    if app is None:
        return
    root = root_of(app.config.section("entities").root, app.base_dir)
    if isinstance(root, Path):
        yield from _names(root)


def _names(root: Path) -> Iterable[Check]:
    from kindling_entities.engines._places import is_plain, plain_temporary, unreachable, unreachable_text

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
