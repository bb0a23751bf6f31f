"""What several pipes of a run read of storage that is parsed as a whole is read once, as it was first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, Pipes
from kindling_entities import Entities, EntityStore


def job(tmp_path: Path, provider: str, cache: str) -> tuple[App, list[Any]]:
    """A file that two pipes read, the second after the file has changed, and which a third reads under another id."""
    entities, pipes, seen = Entities(), Pipes(), []
    file = tmp_path / f"in.{provider}"
    entities.source("raw.in", path=str(file), provider=provider, columns={"n": "bigint"})
    for name in ("first", "second"):
        entities.entity(f"t.{name}")

    @pipes.pipe("first", inputs={"frame": "raw.in"}, output="t.first")
    def first(frame: Any) -> Any:
        file.write_text(file.read_text().replace("1", "7"))
        seen.append(frame)
        return frame

    @pipes.pipe("second", inputs={"frame": "raw.in", "_after": "t.first"}, output="t.second")
    def second(frame: Any, _after: Any) -> Any:
        seen.append(frame)
        return frame

    config = {"entities": {"root": str(tmp_path / "lake")}, "execution": {"cache": cache}}
    app = App(["entities"], config, environ={})
    app.mount(entities, pipes)
    return app, seen


def rows(app: App, entity_id: str) -> list[int]:
    return sorted(app.service(EntityStore).read_entity(entity_id).toArrow()["n"].to_pylist())


@pytest.mark.parametrize(("provider", "text"), [("csv", "n\n1\n"), ("json", '{"n": 1}\n')])
def test_all_pipes_of_a_run_see_a_text_file_as_the_first_of_them_did(tmp_path: Path, provider: str, text: str) -> None:
    (tmp_path / f"in.{provider}").write_text(text)
    app, seen = job(tmp_path, provider, "auto")
    with app:
        app.run()
        assert (rows(app, "t.first"), rows(app, "t.second")) == ([1], [1])
        assert seen[0] is seen[1]
        app.run(["second"])
        assert rows(app, "t.second") == [7], "the next run reads it anew"


def test_with_cache_never_each_pipe_reads_for_itself(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("n\n1\n")
    app, seen = job(tmp_path, "csv", "never")
    with app:
        app.run()
        assert (rows(app, "t.first"), rows(app, "t.second")) == ([1], [7])
        assert seen[0] is not seen[1]


@pytest.mark.parametrize("cache", ["auto", "always", "never"])
@pytest.mark.parametrize("provider", ["csv", "json", "parquet", "memory"])
def test_what_a_run_writes_to_storage_without_versions_several_of_its_pipes_read(
    tmp_path: Path, provider: str, cache: str
) -> None:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.in")
    entities.entity("t.made", provider=provider, columns={"n": "bigint"})
    pipes.pipe("t.made", inputs={"frame": "t.in"}, output="t.made")(lambda frame: frame)
    for name in ("one", "two"):
        entities.entity(f"t.{name}")
        pipes.pipe(f"t.{name}", inputs={"frame": "t.made"}, output=f"t.{name}")(lambda frame: frame)
    config = {"entities": {"root": str(tmp_path)}, "execution": {"cache": cache}}
    with App(["entities"], config, environ={}) as app:
        app.mount(entities, pipes)
        store = app.service(EntityStore)
        for value in (1, 2):
            store.write_to_entity("t.in", store.engine.session.createDataFrame([(value,)], "n bigint"))
            app.run()
            assert (rows(app, "t.one"), rows(app, "t.two")) == ([value], [value])
