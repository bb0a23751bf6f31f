"""Arithmetic that overflows fails on the embedded engine as it does on Spark; what cannot be checked is told."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import Window
from pyspark.sql import functions as F

from kindling_core import App, Pipes
from kindling_core.errors import RunFailed
from kindling_entities import Entities
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.engines.embedded._sqltext import Unreadable, arithmetic_in, parse
from kindling_entities.protocols import Table

ROWS = pa.table(
    {
        "tiny": pa.array([127, None], pa.int8()),
        "short": pa.array([2**15 - 1, None], pa.int16()),
        "small": pa.array([2**31 - 1, None], pa.int32()),
        "large": pa.array([2**62, None], pa.int64()),
        "least": pa.array([-(2**63), None], pa.int64()),
        "one": pa.array([1, 1], pa.int64()),
        "wide": pa.array([Decimal("9" * 38), None], pa.decimal128(38, 0)),
        "real": [1.5, 2.5],
        "at": pa.array([0, 1], pa.timestamp("us")),
    }
)


@pytest.fixture
def frame(engine: EmbeddedEngine) -> Any:
    return engine.from_arrow(ROWS)


OVERFLOWING: list[Callable[[Any], Any]] = [
    lambda frame: frame.select(F.col("large") * 4),
    lambda frame: frame.select(F.col("large") + F.col("large")),
    lambda frame: frame.select(F.col("least") - 1),
    lambda frame: frame.select(F.col("one") + F.col("large") * 2 - F.col("large") * 2),
    lambda frame: frame.select(F.col("small") + 1),
    lambda frame: frame.select(F.col("small") * 86_400),
    lambda frame: frame.select(F.col("short") * F.col("short")),
    lambda frame: frame.select(F.col("tiny") + F.col("tiny")),
    lambda frame: frame.select(-F.col("least")),
    lambda frame: frame.select(F.abs("least")),
    lambda frame: frame.selectExpr("least div -1"),
    lambda frame: frame.selectExpr("cast(large as int)"),
    lambda frame: frame.selectExpr("small * small as n", "*"),
    lambda frame: frame.selectExpr("case when real > 1 then (large + 1) * 2 else 0 end as n"),
    lambda frame: frame.where("large * 2 < 0"),
    lambda frame: frame.where(F.col("large") * 2 < 0),
    lambda frame: frame.withColumn("n", F.when(F.col("real") > 1, F.col("small") * F.col("small"))),
    lambda frame: frame.select(F.when(F.rand() >= 0, F.col("small")).otherwise(1) + 1),
    lambda frame: frame.unionAll(frame).groupBy("one").sum("large"),
    lambda frame: frame.unionAll(frame).selectExpr("sum(large) over (partition by one) as n"),
    lambda frame: frame.unionAll(frame).select(F.sum("large").over(Window.partitionBy("one"))),
    lambda frame: frame.groupBy("real").agg(F.max(F.col("small") * F.col("small"))),
    lambda frame: frame.select(F.max("small") * F.min("small")),
    lambda frame: frame.alias("a").join(frame.alias("b"), F.expr("a.large * 2 = b.large")),
    lambda frame: frame.sort(F.col("large") * 2),
    lambda frame: frame.select(F.col("wide") + 1),
    lambda frame: frame.select(F.col("wide") * F.col("wide")),
    lambda frame: frame.unionAll(frame).agg(F.sum("wide")),
    lambda frame: frame.selectExpr("timestamp_seconds(large)"),
    lambda frame: frame.selectExpr("timestamp_millis(large)"),
]


@pytest.mark.parametrize("make", OVERFLOWING, ids=lambda make: inspect.getsource(make).strip().removeprefix("lambda "))
def test_what_overflows_fails(engine: EmbeddedEngine, frame: Any, make: Callable[[Any], Any]) -> None:
    with pytest.raises(Exception, match="(?i)overflow|can't cast|out of range"):
        engine.to_reader(make(frame)).read_all()


def test_a_view_of_what_overflows_fails_in_sql(engine: EmbeddedEngine, frame: Any) -> None:
    frame.select((F.col("large") * 4).alias("n")).createOrReplaceTempView("overflowing")
    with pytest.raises(Exception, match="ARITHMETIC_OVERFLOW"):
        engine.session.sql("select n from overflowing").collect()


FITTING: list[tuple[Callable[[Any], Any], list[Any]]] = [
    (lambda frame: frame.select(F.col("one") + 1), [2, 2]),
    (lambda frame: frame.select(F.col("tiny") + 1), [128, None]),
    (lambda frame: frame.select(F.col("small") + F.col("one")), [2**31, None]),
    (lambda frame: frame.select(F.col("large") - 1), [2**62 - 1, None]),
    (lambda frame: frame.selectExpr("hour(at) * 60 + minute(at)"), [0, 0]),
    (lambda frame: frame.selectExpr("real * small"), [1.5 * (2**31 - 1), None]),
    (lambda frame: frame.select(sum([F.col("one")] * 40, F.lit(0))), [40, 40]),
    (lambda frame: frame.selectExpr(" + ".join(["one"] * 40)), [40, 40]),
    (lambda frame: frame.where("one = 1 or large * 4 > 0").select("one"), [1, 1]),
    (lambda frame: frame.select(F.when(F.col("large") < 9, F.col("large") * 4)), [None, None]),
    (lambda frame: frame.select(F.expr("try_multiply(large, 4L)")), [None, None]),
    (lambda frame: frame.agg(F.sum("large")), [2**62]),
    (lambda frame: frame.agg(F.sum("large") + F.sum("one")), [2**62 + 2]),
    (lambda frame: frame.where("one > 1").agg(F.sum("large")), [None]),
    (lambda frame: frame.agg(F.sum("wide")), [Decimal("9" * 38)]),
    (lambda frame: frame.groupBy(F.col("one") + 1).count().select("(one + 1)"), [2]),
    (lambda frame: frame.selectExpr("datediff(date'2024-01-02', date'2024-01-01') + 1"), [2, 2]),
]


@pytest.mark.parametrize(("make", "expected"), FITTING, ids=range(len(FITTING)))
def test_what_fits_is_what_it_was(
    engine: EmbeddedEngine, frame: Any, make: Callable[[Any], Any], expected: list[Any]
) -> None:
    made = make(frame)
    rows = engine.to_reader(made).read_all()
    assert rows.columns[0].to_pylist() == expected
    # Guards change neither names nor types.
    assert rows.schema.names == made.columns


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_the_greatest_of_floats_is_nan_and_infinities_count(engine: EmbeddedEngine, kind: Any) -> None:
    """As on Spark, where NaN is the greatest of all."""
    nan, inf = float("nan"), float("inf")
    groups = {
        "a": [1.0, nan],
        "b": [nan, None],
        "c": [inf],
        "d": [-inf],
        "e": [inf, nan],
        "f": [None],
        "g": [-inf, 2.0],
    }
    rows = [(key, value) for key, values in groups.items() for value in values]
    data = pa.table({"k": [k for k, _ in rows], "v": pa.array([v for _, v in rows], kind)})
    made = engine.from_arrow(data).groupBy("k").agg(F.min("v").alias("low"), F.max("v").alias("high")).sort("k")
    found = [(row["k"], str(row["low"]), str(row["high"])) for row in engine.to_reader(made).read_all().to_pylist()]
    assert found == [
        ("a", "1.0", "nan"),
        ("b", "nan", "nan"),
        ("c", "inf", "inf"),
        ("d", "-inf", "-inf"),
        ("e", "inf", "nan"),
        ("f", "None", "None"),
        ("g", "-inf", "2.0"),
    ]


LEFT_OUT = pa.table(
    {"kind": ["number", "word"], "text": ["12", "x"], "n": pa.array([3, 2**62]), "z": [1, 0], "w": [1, 1]}
)


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame.where("kind = 'number'").selectExpr("kind", "cast(text as int) + n + w as a"),
        lambda frame: frame.where("kind = 'number'").select(
            "kind", (F.col("text").cast("int") + F.col("n")).alias("a")
        ),
        lambda frame: frame.where("z <> 0").selectExpr("z", "n div z % w as a"),
        lambda frame: frame.where(F.col("z") != 0).select("z", (F.col("n") * 4 + F.col("w")).alias("a")),
        lambda frame: frame.where(F.col("z") != 0).withColumn("a", F.col("n") * 4 + F.col("w")).select("z", "a"),
        lambda frame: frame.where("z <> 0 and n * 4 + w > 0").select("n"),
        lambda frame: frame.where((F.col("z") != 0) & (F.col("n") * 4 > 0)).select("n"),
    ],
    ids=range(7),
)
def test_rows_that_a_filter_leaves_out_do_not_fail(
    engine: EmbeddedEngine, tmp_path: Path, make: Callable[[Any], Any]
) -> None:
    """Sail computes a projection of few columns before the filter below it."""
    table = Table("t.left_out", str(tmp_path / "t"))
    engine.append(table, LEFT_OUT)
    assert engine.to_reader(make(engine.read(table))).read_all().num_rows == 1


def test_a_case_has_the_type_of_what_it_computes(engine: EmbeddedEngine, frame: Any) -> None:
    """Sail describes it by its first branch."""
    one = F.lit(1).cast("tinyint")
    made = frame.select((F.when(F.col("real") > 9, one).otherwise(F.col("large")) * one).alias("n"))
    assert engine.to_reader(made).read_all()["n"].to_pylist() == [2**62, None]
    below = frame.select(F.when(F.col("real") > 9, one).otherwise(F.col("large")).alias("n")).select(F.col("n") + one)
    assert engine.to_reader(below).read_all().columns[0].to_pylist() == [2**62 + 1, None]


def test_null_is_not_nan(engine: EmbeddedEngine) -> None:
    frame = engine.from_arrow(pa.table({"v": [float("nan"), None, 1.0]}))
    found = engine.to_reader(frame.selectExpr("isnan(v)", "if(isnan(v), 1, 2) as b", "not isnan(v) as c")).read_all()
    assert found.to_pydict() == {"isnan(v)": [True, False, False], "b": [1, 2, 2], "c": [False, True, True]}
    assert engine.to_reader(frame.where(~F.isnan("v"))).read_all().num_rows == 2


def run(tmp_path: Path, make: Callable[[Any], Any], **settings: Any) -> App:
    entities, pipes = Entities(), Pipes()
    entities.entity("t.in", provider="memory")
    entities.entity("t.out")
    pipes.pipe("in", output="t.in")(lambda: ROWS)
    pipes.pipe("out", inputs={"frame": "t.in"}, output="t.out")(make)
    with App(["entities"], {"entities": {"root": str(tmp_path), **settings}}, environ={}) as app:
        app.mount(entities, pipes)
        app.run()
        return app


def test_the_error_names_pipe_operator_and_line_and_nothing_is_written(tmp_path: Path) -> None:
    def square(frame: Any) -> Any:
        return frame.select((F.col("large") * F.col("large")).alias("n"))

    line = inspect.getsourcelines(square)[1] + 1
    with pytest.raises(
        RunFailed, match=rf"'out'.*ARITHMETIC_OVERFLOW\] bigint overflow in large \* large at test_overflow.py:{line}"
    ):
        run(tmp_path, square)
    assert not (tmp_path / "t" / "out").exists()


UNCHECKED: list[Callable[[Any], Any]] = [
    lambda frame: frame.sparkSession.sql("select one * 2 as n from {f}", f=frame),
    lambda frame: frame.sparkSession.sql("select sum(one) as n from {f}", f=frame),
    lambda frame: frame.select(F.transform(F.array("one"), lambda x: x * 2)[0].alias("n")),
    lambda frame: frame.selectExpr("transform(array(one), x -> x + 1)[0] as n"),
]


@pytest.mark.parametrize("make", UNCHECKED, ids=range(len(UNCHECKED)))
def test_what_cannot_be_checked_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Any], Any]
) -> None:
    run(tmp_path, make)
    found = [record.getMessage() for record in caplog.records if "overflow" in record.getMessage()]
    assert len(found) == 1
    assert found[0].startswith("Pipe 'out': ")
    caplog.clear()
    run(tmp_path, make, warn_of_overflow=False)
    assert not [record for record in caplog.records if "overflow" in record.getMessage()]


def test_sql_text_without_arithmetic_is_not_told() -> None:
    for text in ("select * from t", "select count(*), a.* from a", "select -1, t + interval 1 day from x"):
        assert arithmetic_in(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a*b as c", ["a*b"]),
        ("x between a+1 and b and c = 1", ["a+1"]),
        ("case when a > 1 then a + b else -1 end", ["a + b"]),
        ("sum(a - 1) over (partition by c order by d) z", ["a - 1"]),
        ("`a*b` + '1+2'", ["`a*b` + '1+2'"]),
        ("cast(a as decimal(10,2)) + m['k'] -- + x\n", ["cast(a as decimal(10,2)) + m['k']"]),
        ("not a like 'x+%' and b is not distinct from c", []),
        ("a div 2 * -3", ["a div 2 * -3"]),
    ],
)
def test_arithmetic_is_found_in_text(text: str, found: list[str]) -> None:
    parts = [text[part.start : part.end] for part in parse(text).walk() if part.kind == "arithmetic"]
    assert parts == found


@pytest.mark.parametrize(
    "text", ["transform(l, x -> x + 1)", "extract(year from d) + 1", "(select 1) + 1", "a +", "a ? b"]
)
def test_text_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)
