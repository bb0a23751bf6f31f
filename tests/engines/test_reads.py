"""What a filter, an aggregate and a merge find is what the rows say, whatever the statistics of the files."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities.declare.types import parse_type
from kindling_entities.protocols import Table

NAN, INF, UTC = float("nan"), float("inf"), dt.timezone.utc
# One list for each file.
FILES: dict[str, list[list[Any]]] = {
    "decimal(15,2)": [[Decimal("9999999999999.99")], [Decimal("9999999999999.98"), Decimal("-0.01")], [None]],
    "decimal(16,2)": [[Decimal("99999999999999.99")], [Decimal("99999999999999.98"), Decimal("-0.01")], [None]],
    "decimal(17,3)": [[Decimal("12345678901234.567")], [Decimal("99999999999999.999")], [Decimal("0.001")]],
    "decimal(20,0)": [[Decimal(1234567890123456789)], [Decimal(1234567890123456790)], [Decimal(1234567890123456791)]],
    "decimal(20,2)": [[Decimal("123456789012345.67"), Decimal("123456789012345.68")], [None, Decimal("-0.01")]],
    "decimal(38,0)": [[Decimal("9" * 38)], [Decimal("-" + "9" * 38)], [Decimal("9" * 37 + "8")]],
    "decimal(38,18)": [[Decimal("12345678901234567890.123456789012345678")], [Decimal("0.000000000000000001")]],
    "double": [[1.0, NAN, 2.0], [NAN], [7.0, 7.0, NAN], [0.0, -0.0, None], [INF, -INF], [1e308, 5e-324]],
    "float": [[1.0, NAN, 2.0], [7.0, 7.0, NAN], [0.5], [INF, None]],
    "bigint": [[2**63 - 1], [2**63 - 2], [-(2**63), 2**53 + 1], [2**53]],
    "string": [["a" * 40], ["a" * 40 + "b", "\U0010ffff" * 40], [""], [None, "é", "\uffff" * 33]],
    "binary": [[b"\xff" * 50], [b"", b"\x00"], [None]],
    "boolean": [[True], [False, None]],
    "date": [[dt.date(1, 1, 1)], [dt.date(9999, 12, 31), dt.date(1582, 10, 4)], [None]],
    "timestamp": [
        [dt.datetime(1, 1, 1, 0, 0, 0, 1, UTC)],
        [dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)],
        [dt.datetime(2024, 1, 1, 0, 0, 0, 123456, UTC), dt.datetime(2024, 1, 1, 0, 0, 0, 123457, UTC)],
        [dt.datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), None],
    ],
    "timestamp_ntz": [
        [dt.datetime(1, 1, 1, 0, 0, 0, 1)],
        [dt.datetime(9999, 12, 31, 23, 59, 59, 999999)],
        [dt.datetime(2024, 1, 1, 0, 0, 0, 123456), dt.datetime(2024, 1, 1, 0, 0, 0, 123457)],
    ],
}


def told(value: Any) -> str:
    """A value as Spark groups it: NaN is itself, and there is one zero."""
    if isinstance(value, float):
        return "0.0" if value == 0 else repr(value)
    return str(value.astimezone(UTC)) if getattr(value, "tzinfo", None) else repr(value)


def order(value: Any) -> Any:
    """As Spark sorts: NaN is the greatest, text goes by its bytes."""
    if isinstance(value, float):
        return (value != value, 0.0 if value != value else value)
    return value.encode() if isinstance(value, str) else value


def literal(value: Any, kind: str) -> str:
    if isinstance(value, dt.datetime):
        text = f"{value:%m-%d %H:%M:%S.%f}"
        return f"cast('{value.year:04d}-{text}{'Z' if value.tzinfo else ''}' as {kind})"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return f"cast('{text}' as {kind})"


def column(engine: Any, frame: Any) -> list[Any]:
    return list(engine.to_reader(frame).read_all().column(0).to_pylist())


def same(engine: Any, frame: Any, wanted: list[Any]) -> None:
    assert sorted(map(told, column(engine, frame))) == sorted(map(told, wanted))


@pytest.fixture(params=FILES)
def written(request: pytest.FixtureRequest, engine: Any, table: Table) -> tuple[str, list[Any]]:
    kind = str(request.param)
    for values in FILES[kind]:
        engine.append(table, pa.table({"c": pa.array(values, parse_type(kind))}))
    return kind, pa.array([v for file in FILES[kind] for v in file], parse_type(kind)).to_pylist()


def test_scans_filters_and_aggregates_find_what_the_rows_say(
    engine: Any, table: Table, written: tuple[str, list[Any]]
) -> None:
    kind, values = written
    given = [value for value in values if value is not None]
    distinct = list({told(value): value for value in given}.values())
    frame = engine.read(table)
    same(engine, frame, values)
    same(engine, frame.filter("c is null"), [None] * (len(values) - len(given)))
    same(engine, frame.selectExpr("count(c)"), [len(given)])
    same(engine, frame.filter("c is not null").distinct(), distinct)
    if kind != "binary":
        same(engine, frame.selectExpr("min(c)"), [min(given, key=order)])
        same(engine, frame.selectExpr("max(c)"), [max(given, key=order)])
    for value in distinct:
        wanted = literal(value, kind)
        same(engine, frame.filter(f"c = {wanted}"), [v for v in given if order(v) == order(value)])
        same(engine, frame.filter(f"c > {wanted}"), [v for v in given if order(v) > order(value)])
        same(engine, frame.filter(f"c <= {wanted}"), [v for v in given if order(v) <= order(value)])


def test_time_travel_and_a_copy_keep_the_values(engine: Any, table: Table, written: tuple[str, list[Any]]) -> None:
    kind, values = written
    first = pa.array(FILES[kind][0], parse_type(kind)).to_pylist()
    same(engine, engine.read(table, version=0), first)
    engine.overwrite(table, engine.read(table))
    same(engine, engine.read(table), values)


KEYS = [kind for kind in FILES if kind not in ("double", "float", "binary")]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("partitioned", [False, True])
def test_a_merge_finds_its_keys(engine: Any, table: Table, kind: str, partitioned: bool) -> None:
    if partitioned and kind in ("string", "decimal(15,2)", "decimal(16,2)", "decimal(20,2)", "decimal(38,0)"):
        pytest.skip("values that no partition can have on every engine")
    if partitioned:
        table = Table(table.entity_id, table.location, ("k",))
    keys = [value for file in FILES[kind] for value in file if value is not None]
    for file in FILES[kind]:
        some = pa.array([value for value in file if value is not None], parse_type(kind))
        if len(some):
            engine.append(table, pa.table({"k": some, "v": [1] * len(some)}))
    one = engine.merge(table, pa.table({"k": pa.array(keys[:1], parse_type(kind)), "v": [2]}), ["k"])
    assert (one.rows_inserted, one.rows_updated) == (0, 1)
    every = pa.table({"k": pa.array(keys, parse_type(kind)), "v": [3] * len(keys)})
    done = engine.merge(table, every, ["k"])
    assert (done.rows_inserted, done.rows_updated) == (0, len(keys))
    same(engine, engine.read(table).select("k"), keys)


def test_values_within_structs_arrays_and_maps(engine: Any, table: Table) -> None:
    kind = parse_type("struct<d:decimal(20,0),f:double,t:timestamp>")
    lists, maps = parse_type("array<decimal(30,2)>"), parse_type("map<string,double>")
    ids = [1234567890123456789, 1234567890123456790]
    for number in ids:
        far = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
        row = {"s": [{"d": Decimal(number), "f": NAN, "t": far}], "a": [[Decimal(number)]], "m": [[("k", NAN)]]}
        arrays = [pa.array(row[name], type_) for name, type_ in (("s", kind), ("a", lists), ("m", maps))]
        engine.append(table, pa.table(arrays, names=list("sam")))
    frame = engine.read(table)
    for number in ids:
        same(engine, frame.filter(f"s.d = cast('{number}' as decimal(20,0))").select("s.d"), [Decimal(number)])
        same(
            engine,
            frame.filter(f"a[0] = cast('{number}' as decimal(30,2))").selectExpr("a[0]"),
            [Decimal(f"{number}.00")],
        )
    same(engine, frame.filter("isnan(s.f) and isnan(m['k'])").selectExpr("s.f"), [NAN, NAN])
    same(engine, frame.selectExpr("count(distinct s.d)"), [2])
    same(engine, frame.selectExpr("max(s.d)"), [Decimal(ids[1])])


def test_a_frame_that_is_held_or_made_of_arrow_data_keeps_nan(engine: Any) -> None:
    given = pa.table({"c": [7.0, 7.0, NAN] * 100_000, "s": ["x" * 10] * 300_000})
    for wanted, condition in ((100_000, "c > 8"), (100_000, "isnan(c)"), (200_000, "c < 8")):
        made = engine.from_arrow(given)
        assert made.filter(condition).count() == wanted
        # Spark's own cache skips NaN by its statistics.
        if engine.name == "embedded":
            with engine.held(made) as held:
                assert held.filter(condition).count() == wanted
