"""A datetime without a zone means UTC, whatever the zone of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KIND = os.environ.get("KINDLING_TEST_ENGINE", "embedded")

SCRIPT = """
import sys
from datetime import date, datetime, timedelta, timezone
import pandas, pyarrow as pa

def engine():
    if sys.argv[1] == "embedded":
        from kindling_entities.engines.embedded import EmbeddedEngine
        return EmbeddedEngine()
    from kindling_entities.engines.spark import SparkEngine
    where = {"remote": "local[1]"} if sys.argv[1] == "connect" else {"master": "local[1]"}
    return SparkEngine(conf={"spark.sql.shuffle.partitions": "1"}, **where)

made = engine()
made.start()
made.activate()
session = made.session
from pyspark.sql import functions as F

UTC, NOON = timezone.utc, datetime(2024, 3, 31, 2, 30)
times = [NOON - timedelta(hours=4), NOON, datetime(1969, 7, 20)]
table = pa.table({"id": [1, 2, 3], "t": pa.array(times, pa.timestamp("us", "UTC"))})
frame = made.from_arrow(table)
found = []

def ids(rows):
    found.append(sorted(row["id"] for row in rows.collect()))

ids(frame.where(F.col("t") == NOON))
ids(frame.where(F.col("t") >= F.lit(NOON)))
ids(frame.where(F.col("t").isin([NOON, NOON - timedelta(hours=4)])))
ids(frame.where(F.col("t").between(NOON - timedelta(minutes=1), NOON)))
ids(frame.where(F.col("t") == datetime(1969, 7, 20)))
ids(frame.where(F.col("t") == NOON.replace(tzinfo=UTC)))
ids(frame.where(F.col("t") == NOON.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))))
ids(frame.where(F.to_date("t") == date(2024, 3, 30)))
rows = session.createDataFrame([(2, NOON), (4, NOON.replace(tzinfo=UTC) + timedelta(hours=1))], "id int, t timestamp")
ids(frame.join(rows.select("t"), "t"))
ids(frame.join(session.createDataFrame(pandas.DataFrame({"t": [NOON]})).select("t"), "t"))
kinds = "l array<timestamp>, s struct<t: timestamp>, m map<string, timestamp>"
nested = session.createDataFrame([([NOON], (NOON,), {"a": NOON})], kinds)
texts = nested.selectExpr("cast(l[0] as string)", "cast(s.t as string)", "cast(m['a'] as string)")
found.append(texts.collect()[0][:])
found.append([value for row in frame.sort("id").collect() for value in row[1:]])
found.append(tuple(nested.collect()[0]))
found.append(frame.where("id = 2").toPandas()["t"][0].to_pydatetime())
print(repr(found))
made.stop()
"""

EXPECTED = (
    "[[2], [2], [1, 2], [2], [3], [2], [2], [1], [2], [2], "
    "('2024-03-31 02:30:00', '2024-03-31 02:30:00', '2024-03-31 02:30:00'), "
    "[datetime.datetime(2024, 3, 30, 22, 30), datetime.datetime(2024, 3, 31, 2, 30), "
    "datetime.datetime(1969, 7, 20, 0, 0)], "
    "([datetime.datetime(2024, 3, 31, 2, 30)], Row(t=datetime.datetime(2024, 3, 31, 2, 30)), "
    "{'a': datetime.datetime(2024, 3, 31, 2, 30)}), datetime.datetime(2024, 3, 31, 2, 30)]"
)


@pytest.mark.skipif(KIND == "cluster", reason="the zone of the driver alone counts")
@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Asia/Kolkata", "Europe/Berlin"])
def test_a_datetime_without_a_zone_is_utc_wherever_the_machine_is(tmp_path: Path, zone: str, monkeypatch: Any) -> None:
    if KIND != "embedded" and zone not in ("America/New_York", "Europe/Berlin"):
        pytest.skip("each starts a Spark")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environ = {**os.environ, "TZ": zone}
    done = subprocess.run([sys.executable, str(script), KIND], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == EXPECTED
