"""The text and the digest of rows: written down here, so that both engines must give the same ones for ever."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timezone
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_entities import DataEntityManager, EntityStore, SchemaError
from kindling_entities.declare.expectations import expect_or_quarantine
from kindling_entities.rules.row_hash import frame_schema, row_hash, row_text

UTC = timezone.utc
PAIR = pa.struct([("a", pa.string()), ("b", pa.string())])
DEEP = pa.list_(pa.struct([("x", pa.int64()), ("y", pa.list_(pa.map_(pa.string(), pa.binary())))]))

CASES: list[tuple[pa.DataType, list[tuple[Any, str]]]] = [
    (
        pa.string(),
        [
            (None, "n"),
            ("", "0:"),
            ("n", "1:n"),
            ("1:n", "3:1:n"),
            ("\0", "1:\0"),
            ("a\x01b", "3:a\x01b"),
            ("aä😀", "3:aä😀"),
            ("é", "1:é"),
            ("e\u0301", "2:e\u0301"),
        ],
    ),
    (pa.binary(), [(None, "n"), (b"", ""), (b"\xff\x00", "FF00")]),
    (pa.bool_(), [(None, "n"), (True, "true"), (False, "false")]),
    (pa.int8(), [(-128, "-128"), (127, "127")]),
    (pa.int64(), [(-(2**63), "-9223372036854775808"), (2**63 - 1, "9223372036854775807")]),
    (
        pa.float64(),
        [
            (None, "n"),
            (0.0, "zero"),
            (-0.0, "zero"),
            (float("nan"), "NaN"),
            (1.5, "7738255526519901366"),
            (1e300, "-6660537626403695510"),
            (5e-324, "-7001672635703045582"),
            (float("inf"), "5810986238603807492"),
            (float("-inf"), "5326262080505358431"),
        ],
    ),
    # A float has the text of the double that it is.
    (pa.float32(), [(1.5, "7738255526519901366"), (-0.0, "zero"), (0.1, "483042400645553496")]),
    (pa.decimal128(5, 2), [(Decimal("-0.50"), "-0.50"), (Decimal("0"), "0.00"), (None, "n")]),
    (pa.decimal128(38, 0), [(Decimal("9" * 38), "9" * 38), (Decimal("-" + "9" * 38), "-" + "9" * 38)]),
    (
        pa.decimal128(20, 10),
        [
            (Decimal("0"), "+1.0000000000"),
            (Decimal("1e-10"), "+1.0000000001"),
            (Decimal("-1e-10"), "-1.0000000001"),
            (Decimal("1.5"), "1.5000000000"),
        ],
    ),
    (pa.decimal128(38, 38), [(Decimal("1e-38"), "0." + "0" * 37 + "1")]),
    (pa.date32(), [(date(1, 1, 1), "-719162"), (date(9999, 12, 31), "2932896"), (None, "n")]),
    (
        pa.timestamp("us", tz="UTC"),
        [
            (datetime(1, 1, 1, tzinfo=UTC), "-62135596800000000"),
            (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "253402300799999999"),
            (datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "1577836800000001"),
            (None, "n"),
        ],
    ),
    (
        pa.list_(pa.string()),
        [
            (None, "n"),
            ([], "[0:]"),
            ([""], "[1:0:]"),
            ([None], "[1:n]"),
            (["null"], "[1:4:null]"),
            (["a, b"], "[1:4:a, b]"),
            (["a", "b"], "[2:1:a,1:b]"),
            (["n", "n"], "[2:1:n,1:n]"),
            (["1:n,1:n"], "[1:7:1:n,1:n]"),
        ],
    ),
    (pa.list_(pa.binary()), [([], "[0:]"), ([b""], "[1:]"), ([None], "[1:n]"), ([b"\xff"], "[1:FF]")]),
    (
        PAIR,
        [
            (None, "n"),
            ({"a": None, "b": None}, "(n,n)"),
            ({"a": "1, 2", "b": "3"}, "(4:1, 2,1:3)"),
            ({"a": "1", "b": "2, 3"}, "(1:1,4:2, 3)"),
        ],
    ),
    (
        pa.map_(pa.string(), pa.float64()),
        [
            (None, "n"),
            ([], "{0:}"),
            ([("a", 1.5), ("b", None)], "{2:1:a,7738255526519901366,1:b,n}"),
            ([("b", None), ("a", 1.5)], "{2:1:a,7738255526519901366,1:b,n}"),
            ([("a", -0.0)], "{1:1:a,zero}"),
        ],
    ),
    (pa.list_(DEEP), [([[{"x": 1, "y": [[("k", b"\x01")]]}, None], None, []], "[3:[2:(1,[1:{1:1:k,01}]),n],n,[0:]]")]),
    (
        pa.map_(pa.int64(), pa.list_(pa.decimal128(5, 2))),
        [([(10, [Decimal("1.5")]), (9, None)], "{2:10,[1:1.50],9,n}")],
    ),
]


def texts(engine: Any, table: pa.Table, columns: list[str]) -> list[tuple[str, str]]:
    frame = engine.to_frame(table)
    schema = frame_schema(frame)
    told = frame.selectExpr("i", f"{row_text(columns, schema)} as text", f"{row_hash(columns, schema)} as digest")
    rows = sorted(engine.to_reader(told).read_all().to_pylist(), key=lambda row: row["i"])
    return [(row["text"], row["digest"]) for row in rows]


@pytest.mark.parametrize(("kind", "values"), CASES, ids=[str(kind) for kind, _ in CASES])
def test_each_value_has_one_text_and_digest_on_every_engine(
    engine: Any, kind: pa.DataType, values: list[tuple[Any, str]]
) -> None:
    table = pa.table({"i": range(len(values)), "v": pa.array([value for value, _ in values], kind)})
    wanted = [(text, f"2:{hashlib.sha256(text.encode()).hexdigest()}") for _, text in values]
    assert texts(engine, table, ["v"]) == wanted


def test_a_timestamp_without_zone_has_the_text_of_sql(engine: Any) -> None:
    frame = engine.session.sql("select 0 as i, cast('2024-03-10 02:30:00.1' as timestamp_ntz) as v, null as w")
    schema = frame_schema(frame)
    assert frame.selectExpr(row_text(["v", "w"], schema)).collect()[0][0] == "2024-03-10 02:30:00.1,n"


def test_rows_that_share_their_characters_are_told_apart(engine: Any) -> None:
    pool = [None, "", ",", "n", "n,n", "1:", "\0", "\x01", "a", "a\x01b", "b\x01c", "c", "0:", "0:,0:"]
    rows = list(combinations(pool, 2))
    columns = {"i": range(len(rows)), "a": [a for a, _ in rows], "b": [b for _, b in rows]}
    assert len(set(texts(engine, pa.table(columns), ["a", "b"]))) == len(rows)


def test_a_type_that_no_table_keeps_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match="Column 'd' has type duration"):
        row_hash(["d"], pa.schema({"d": pa.duration("us")}))


def test_a_quarantine_keeps_all_rows_that_differ(engine: Any, tmp_path: Path) -> None:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("t.q", write_mode="append", expectations=[expect_or_quarantine("id", "id > 9")])
    rows = {
        "id": [1, 1, 1, 1, 1],
        "a": ["a\x01b", "a", "\0", None, "x"],
        "b": ["c", "b\x01c", "", "", ""],
        "l": [["red, blue"], ["red, blue"], [], [], [None]],
        "x": [[b"\x01"], [b"\x02"], [], [], []],
    }
    schema = {"id": pa.int64(), "a": pa.string(), "b": pa.string()}
    table = pa.table(rows, schema=pa.schema({**schema, "l": pa.list_(pa.string()), "x": pa.list_(pa.binary())}))
    for _ in range(2):
        store.append_to_entity("t.q", table)
    kept = store.engine.to_reader(store.read_entity("t.q__quarantine")).read_all().to_pylist()
    assert len(kept) == 5
    assert all(row["_quarantine_key"].startswith("2:") for row in kept)


def test_rows_under_keys_of_an_earlier_version_are_not_kept_again(engine: Any, tmp_path: Path) -> None:
    store = EntityStore(DataEntityManager(), engine, "lake", tmp_path)
    store.manager.register_entity("t.q", write_mode="append", expectations=[expect_or_quarantine("id", "id > 9")])
    table = pa.table({"id": [1, 2], "v": ["x", None]})
    store.append_to_entity("t.q", table)
    kept = store.engine.to_reader(store.read_entity("t.q__quarantine")).read_all()
    position = kept.column_names.index("_quarantine_key")
    # As an earlier version wrote it: a bare digest.
    old = pa.array([hashlib.sha256(str(row).encode()).hexdigest() for row in kept["id"].to_pylist()])
    store.write_to_entity("t.q__quarantine", kept.set_column(position, "_quarantine_key", old))
    store.append_to_entity("t.q", pa.table({"id": [1, 2, 3], "v": ["x", None, "x"]}))
    after = store.engine.to_reader(store.read_entity("t.q__quarantine")).read_all().to_pylist()
    assert sorted(row["id"] for row in after) == [1, 2, 3]
    assert set(old.to_pylist()) <= {row["_quarantine_key"] for row in after}
