"""Two entities of a job do not share files, unless both are only read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App
from kindling_entities import Entities, EntityDefinitionError


def start(root: Path, *declarations: tuple[str, dict[str, Any]]) -> None:
    entities = Entities()
    for name, settings in declarations:
        if settings.pop("source", False):
            entities.source(name, **settings)
        else:
            entities.entity(name, **settings)
    app = App(["entities"], {"entities": {"root": str(root / "tables")}}, environ={})
    # Refused when the job is composed, before anything is started.
    app.mount(entities)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "tables" / "real").mkdir(parents=True)
    os.symlink(tmp_path / "tables" / "real", tmp_path / "link")
    return tmp_path


SHARED: list[tuple[str, str, dict[str, Any]]] = [
    ("the same path", "{root}/x", {"path": "{root}/x"}),
    ("a slash more", "{root}/x", {"path": "{root}/x/"}),
    ("dots", "{root}/x", {"path": "{root}/y/../x"}),
    ("a link", "{root}/link/x", {"path": "{root}/tables/real/x"}),
    ("the place of an id", "{root}/tables/test/b", {}),
    ("within", "{root}/x", {"path": "{root}/x/deep/er"}),
    ("around", "{root}/x/deep/er", {"path": "{root}/x"}),
    ("another kind", "{root}/x", {"path": "{root}/x", "provider": "csv"}),
    ("a table read by its path", "{root}/x", {"path": "{root}/x", "provider": "delta", "source": True}),
    ("a source within a table", "{root}/x", {"path": "{root}/x/a.csv", "source": True}),
    ("a source around a table", "{root}/x/t", {"path": "{root}/x", "source": True}),
    ("a pattern that meets a table", "{root}/x/t", {"path": "{root}/x/*", "provider": "parquet", "source": True}),
    ("a pattern over folders", "{root}/x/t", {"path": "{root}/**/*.parquet", "provider": "parquet", "source": True}),
    ("a bucket", "s3://b/x", {"path": "S3://b/y/../x/"}),
]


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case[0])
def test_entities_that_share_files_are_refused_with_both_lines(root: Path, case: Any) -> None:
    _, path, settings = case
    given = {key: value.format(root=root) if key == "path" else value for key, value in settings.items()}
    both = r"test_places:\d+: entity 'test\.[ab]'.*'test\.[ab]' \([\w.]*test_places:"
    with pytest.raises(EntityDefinitionError, match=both):
        start(root, ("test.a", {"path": path.format(root=root)}), ("test.b", given))


def test_an_id_within_another_is_refused(root: Path) -> None:
    with pytest.raises(EntityDefinitionError, match="'test.a.b': it lies within the folder of 'test.a'"):
        start(root, ("test.a.b", {}), ("test.a", {}))


def test_sources_share_files_and_neighbours_do_not_meet(root: Path) -> None:
    path = str(root / "x")
    start(
        root,
        ("test.one", {"path": path, "source": True}),
        ("test.two", {"path": path, "source": True}),
        ("test.three", {"path": f"{path}/y.csv", "source": True}),
        ("test.four", {"path": f"{root}/*.csv", "source": True}),
        ("test.a", {}),
        ("test.ab", {}),
        ("test.a_b", {}),
        ("test.memory", {"provider": "memory", "path": path}),
        ("test.five", {"path": f"{root}/xy"}),
    )
