"""A merge of changes into a history on local Spark, next to the best MERGE by hand of the same.

By hand: one MERGE whose source holds each change twice, once with its key to close the current row and once
without a key to insert the new one; in order, without deletes, late rows or a check of the keys.

    python benchmarks/bench_scd2.py [ROWS] [CHANGES] [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kindling_entities import DataEntityManager, EntityStore
from kindling_entities.engines.spark import SparkEngine

BY_HAND = """
merge into delta.`{path}` t using (
  select k as merge_key, * from changes
  union all
  select cast(null as bigint) as merge_key, c.* from changes c
    join delta.`{path}` t on c.k = t.k and t.is_current and not (t.v <=> c.v)
) s on t.k = s.merge_key
when matched and t.is_current and not (t.v <=> s.v) then update set valid_to = s.at, is_current = false
when not matched then insert (k, v, at, valid_from, valid_to, is_current, row_hash)
  values (s.k, s.v, s.at, s.at, null, true, sha2(s.v, 256))
"""


def changes(session: Any, count: int, rows: int, turn: int) -> Any:
    step = max(rows // count, 1)
    return session.range(count).selectExpr(
        f"id * {step} as k", f"concat('turn {turn} of ', id) as v", f"cast({turn + 1} as bigint) as at"
    )


def main(rows: int, count: int, rounds: int) -> None:
    engine = SparkEngine(master="local[2]", conf={"spark.sql.shuffle.partitions": "4", "spark.driver.memory": "3g"})
    session = engine.session
    with tempfile.TemporaryDirectory() as folder:
        store = EntityStore(DataEntityManager(), engine, folder)
        store.manager.register_entity("dim.t", scd=2, keys=["k"], sequence_by="at")
        start = session.range(rows).selectExpr("id as k", "concat('first of ', id) as v", "cast(0 as bigint) as at")
        store.merge_to_entity("dim.t", start)
        by_hand = str(Path(folder, "hand"))
        store.read_entity("dim.t").write.format("delta").save(by_hand)
        pairs = []
        for turn in range(rounds + 1):
            batch = changes(session, count, rows, turn).persist()
            batch.count()
            batch.createOrReplaceTempView("changes")
            began = time.perf_counter()
            session.sql(BY_HAND.format(path=by_hand)).collect()
            middle = time.perf_counter()
            commit = store.merge_to_entity("dim.t", batch)
            ended = time.perf_counter()
            batch.unpersist()
            assert (commit.rows_inserted, commit.rows_updated) == (count, count)
            if turn:  # the first round warms up
                pairs.append((middle - began, ended - middle))
        assert store.read_entity("dim.t").count() == session.read.format("delta").load(by_hand).count()
    hand, mine = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    print(
        f"{count} changes into {rows} rows: by hand {hand:.2f} s, Kindling {mine:.2f} s, ratio {mine / hand:.2f} "
        "(bound 1.3)"
    )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*(given + [1_000_000, 10_000, 5][len(given) :]))
