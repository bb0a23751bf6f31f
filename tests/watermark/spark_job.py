"""A history of sources on Spark, as a program, since a process has one engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.watermark.test_exactly_once import lose_state
from tests.watermark.test_histories import World

CONF = {"spark.sql.shuffle.partitions": "2", "spark.ui.enabled": "false"}


def main(folder: Path) -> None:
    world = World(folder, {"max_versions": 2})
    job = world.job
    job.config = {"entities": {"engine": "spark", "spark": {"master": "local[2]", "conf": CONF}}}
    job.entities.entity("s.log", write_mode="append")
    job.entities.entity("t.log", write_mode="append")
    job.pipe("t.log", ["s.log"], lambda s_log: s_log, incremental={"s.log": "appends"})
    job.entities.source("raw.c", path="c.csv", columns={"id": "bigint", "at": "timestamp"})
    job.entities.entity("t.c", write_mode="append")
    cursor: dict[str, Any] = {"raw.c": {"cursor": "at", "lateness": "1 hour", "tie_break": ["id"]}}
    job.pipe("t.c", ["raw.c"], lambda raw_c: raw_c, incremental=cursor)

    def csv(*rows: tuple[int, str]) -> None:
        (folder / "c.csv").write_text("id,at\n" + "".join(f"{number},{at}\n" for number, at in rows))

    csv((1, "2024-01-01T10:00:00"))
    job.append("s.log", id=[1])
    world.do("dimension", ("a", 0))
    world.do("merge", {1: ("a", 1), 2: ("b", 2), 3: ("c", 0)})
    world.do("run", None)
    world.check()
    world.do("merge", {1: ("b", 3), 4: ("a", 1)})
    world.do("delete", 2)
    world.do("dimension", ("b", 1))
    world.do("compact", None)
    world.do("overwrite", {4: ("c", 2), 5: ("a", 3)})
    job.append("s.log", id=[2])
    csv((1, "2024-01-01T10:00:00"), (2, "2024-01-01T09:30:00"), (3, "2024-01-01T10:00:00"))
    world.do("run", None)
    world.check()
    assert {pipe.status for pipe in job.run().pipes} == {"skipped"}
    lose_state(job)
    job.append("s.log", id=[3])
    ended = {pipe.pipe_id: pipe.status for pipe in job.run().pipes}
    assert ended.pop("t.log") == "succeeded"
    assert set(ended.values()) == {"skipped"}
    job.run(options={"full_refresh": "t.kept t.totals t.log"})
    world.check()
    assert job.rows("t.log") == [(1,), (2,), (3,)]
    assert job.rows("t.c", "id") == [(1,), (2,), (3,)]
    job.close()
    print("all equal")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
