"""What ``kindling doctor`` asks the entities plugin: the job's engine, its root, and its tables by kind of storage."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kindling_core.doctor import Check
from kindling_entities.declare.places import root_of

if TYPE_CHECKING:
    from kindling_core.app import App
    from kindling_entities.declare.entity import EntityDefinition
    from kindling_entities.kinds import EngineKind
    from kindling_entities.manager import DataEntityManager
    from kindling_entities.read.views import Views

_LOW_DISK_BYTES = 1024**3


def check(app: App | None, engine: EngineKind | None, manager: DataEntityManager, views: Views) -> Iterable[Check]:
    """Return findings about the engine and, with an App, about its root and its tables.

    Args:
        engine: of the job; None where it has none that is known.
    """
    if engine is not None and engine.checks is not None:
        yield from engine.checks(app)
    if app is None:
        return
    root = root_of(app.config.section("entities").root, app.base_dir)
    if isinstance(root, Path):
        yield from _root(root)
    yield from _tables(app, root, manager, views)


def _tables(app: App, root: Path | str, manager: DataEntityManager, views: Views) -> Iterable[Check]:
    """Ask each kind of storage about the entities that lie at a place of their own."""
    catalog = app.config.section("entities").catalog
    by_kind: dict[str, dict[str, tuple[EntityDefinition, str]]] = {}
    for entity_id, (entity, location) in _places(app, root, manager).items():
        kind = manager.kinds[entity.provider]
        in_catalog = catalog is not None and kind.catalogs and entity.path is None and not entity.read_only
        if kind.checks is not None and entity_id not in views and not in_catalog:
            by_kind.setdefault(kind.name, {})[entity_id] = entity, location
    for name, places in by_kind.items():
        checks = manager.kinds[name].checks
        if checks is not None:
            yield from checks(places)


def _places(app: App, root: Path | str, manager: DataEntityManager) -> Mapping[str, tuple[EntityDefinition, str]]:
    entities = {name: manager.get_entity_definition(name) for name in manager.get_entity_ids()}
    found = {name: (entity, entity.resolve(root, app.base_dir)) for name, entity in entities.items()}
    for name in manager.get_left_quarantine_ids():
        # Most entities never had a quarantine.
        entity = manager.get_entity_definition(name)
        location = entity.resolve(root, app.base_dir)
        if os.path.lexists(location):
            found[name] = entity, location
    return found


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
