"""One pipe, once: what a plugin that keeps watermarks needs of ``App.run_pipe``, on real tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from kindling_core import App, Pipes, RunInfo, VersionRange
from kindling_entities import Entities, EntityStore, Transaction


def test_a_catch_up_reads_what_was_appended_and_says_in_its_commit_up_to_where(tmp_path: Path) -> None:
    entities, pipes = Entities(), Pipes()
    for name in ("t.in", "t.out"):
        entities.entity(name, write_mode="append")
    pipes.pipe("copy", inputs=["t.in"], output="t.out")(lambda t_in: t_in.filter("n > 1"))
    app = App(["entities"], {"entities": {"root": str(tmp_path)}}, environ={})
    app.mount(entities, pipes)
    with app:
        store = app.service(EntityStore)
        for n in range(5):
            store.append_to_entity("t.in", pa.table({"n": [n]}))
        run = RunInfo("r1", "batch")

        def catch_up(start: int, end: int, **given: Any) -> int | None:
            return app.run_pipe(
                "copy",
                run,
                versions={"t.in": VersionRange(start, end, appends=True)},
                skip_empty=True,
                commit_metadata={"watermark.t.in": str(end)},
                **given,
            ).rows

        # Versions 0 and 1 have no row that the pipe lets through.
        assert catch_up(0, 1, transaction=("copy", 1)) == 0
        assert not store.check_entity_exists("t.out")
        done = {"transaction": ("copy", 3), "transactions": [("watermark", 3)]}
        assert catch_up(1, 3, **done) == 2
        assert catch_up(1, 3, **done) == 0
        assert sorted(row.n for row in store.read_entity("t.out").collect()) == [2, 3]
        (commit,) = store.commits("t.out")
        assert commit.metadata == {"watermark.t.in": "3"}
        assert set(commit.transactions) == {Transaction("copy", 3), Transaction("watermark", 3)}
