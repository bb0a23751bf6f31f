"""Integer arithmetic that wraps on the embedded engine is told before it is computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from kindling_core import App, Pipes
from kindling_entities import Entities

ROWS = pa.table(
    {
        "small": pa.array([2**31 - 1], pa.int32()),
        "large": pa.array([2**62], pa.int64()),
        "real": [1.5],
        "at": pa.array([0], pa.timestamp("us")),
    }
)


def told(tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Any], Any], **settings: Any) -> list[str]:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.in", provider="memory")
    entities.entity("t.out")
    pipes.pipe("in", output="t.in")(lambda: ROWS)
    pipes.pipe("out", inputs={"frame": "t.in"}, output="t.out")(make)
    with App(["entities"], {"entities": {"root": str(tmp_path), **settings}}, environ={}) as app:
        app.mount(entities, pipes)
        app.run()
        app.run()
    return [record.getMessage() for record in caplog.records if "overflows" in record.getMessage()]


def test_the_warning_names_pipe_type_and_line_and_comes_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def square(frame: Any) -> Any:
        return frame.select((F.col("small") * F.col("small")).alias("n")).where("n < 0 or n >= 0")

    line = inspect.getsourcelines(square)[1] + 1
    found = told(tmp_path, caplog, square)
    assert len(found) == 1
    assert found[0].startswith(f"Pipe 'out': * of int at test_overflow.py:{line} wraps where it overflows")


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame.selectExpr("small + small as n"),
        lambda frame: frame.select((F.col("small") - F.col("small")).alias("n")),
        lambda frame: frame.select((F.col("large") * F.col("large")).alias("n")),
        lambda frame: frame.select((F.col("small") * 86_400).alias("n")),
        lambda frame: frame.groupBy("real").agg(F.max(F.col("small") * F.col("small")).alias("n")),
        lambda frame: frame.select((F.max("small") * F.min("small")).alias("n")),
        lambda frame: frame.where("small * small > 3"),
        lambda frame: frame.withColumn("n", F.when(F.col("real") > 1, F.col("small") * F.col("small"))),
    ],
)
def test_arithmetic_that_may_wrap_is_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Any], Any]
) -> None:
    assert len(told(tmp_path, caplog, make)) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame.select((F.hour("at") * 60 + F.minute("at")).alias("n")),
        lambda frame: frame.selectExpr("hour(at) * 60 + minute(at) as n", "year(at) + 1 as y"),
        lambda frame: frame.select((F.col("small") + 1).alias("n"), (F.col("large") + F.col("large")).alias("m")),
        lambda frame: frame.select((F.col("real") * F.col("small")).alias("n")),
        lambda frame: frame.selectExpr("count(*) as n", "sum(small) as m"),
        lambda frame: frame.selectExpr("cast(small as double) * small as n"),
        lambda frame: ROWS,
    ],
)
def test_what_everybody_writes_is_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Any], Any]
) -> None:
    assert told(tmp_path, caplog, make) == []


def test_it_can_be_switched_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = lambda frame: frame.selectExpr("small * small as n")  # noqa: E731
    assert told(tmp_path, caplog, make, warn_of_overflow=False) == []
