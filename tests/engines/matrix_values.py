"""The values of the matrix: every type with its edges, strategies for more of them, and an exact comparison."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from kindling_entities.declare.types import parse_type, type_name

UTC = dt.timezone.utc
Row = dict[str, Any]


def _digits(precision: int, scale: int) -> list[Decimal]:
    with decimal.localcontext() as context:
        context.prec = 76
        unit, most = Decimal(1).scaleb(-scale), (Decimal(10) ** precision - 1).scaleb(-scale)
        ascending = Decimal(("1234567890" * 4)[:precision]).scaleb(-scale)
        near = [most, most - unit, most - 2 * unit, ascending, ascending + unit, -ascending, -ascending - unit, -most]
        return list(dict.fromkeys([*near, unit, -unit, Decimal(0).scaleb(-scale)]))


DOUBLES = [
    0.1,
    -0.0,
    0.0,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    2.2250738585072014e-308,
    5e-324,
    -5e-324,
    math.nan,
    math.inf,
    -math.inf,
    0.1 + 0.2,
    9007199254740993.0,
]
FLOATS = [
    0.5,
    -0.0,
    0.0,
    3.4028234663852886e38,
    -3.4028234663852886e38,
    1.1754943508222875e-38,
    2.0**-149,
    -(2.0**-149),
]
FLOATS += [math.nan, math.inf, -math.inf, 16777216.0]
TEXTS = [
    "",
    " ",
    "a",
    "A",
    "a ",
    "é",
    "e\u0301",
    "𝔘𐍈🎈",
    "\0",
    "a\0b",
    "line\nbreak",
    "line\r\nbreak",
    "tab\t",
    "quote\"'`\\",
    "null",
    "NULL",
    "NaN",
    "00123",
    "a,b;c|d",
    "%20 #?[]",
    "\u2028\ufeff\uffff",
    "߿ࠀ",
    "[red, blue]",
    "ﷺ" * 40,
]
INSTANTS = [
    dt.datetime(1, 1, 1),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
    dt.datetime(1582, 10, 4, 23, 59, 59, 999999),
    dt.datetime(1582, 10, 15),
    dt.datetime(1677, 9, 21, 0, 12, 43, 145224),
    dt.datetime(1816, 3, 30, 5, 56, 8, 66277),
    dt.datetime(1899, 12, 31, 23, 59, 59, 1),
    dt.datetime(1900, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
    dt.datetime(1970, 1, 1),
    dt.datetime(2024, 3, 31, 2, 30),
    dt.datetime(2038, 1, 19, 3, 14, 8, 1),
    dt.datetime(2262, 4, 11, 23, 47, 16, 854776),
    dt.datetime(9999, 12, 31, 23, 59, 59),
]
DATES = list(dict.fromkeys([*(moment.date() for moment in INSTANTS), dt.date(1, 12, 31), dt.date(1600, 2, 29)]))

SIZES = [(1, 0), (5, 2), (9, 9), (10, 2), (15, 5), (16, 2), (18, 0), (19, 4), (20, 0), (38, 0), (38, 18), (38, 38)]
SCALARS: dict[str, list[Any]] = {
    "string": [*TEXTS, "x" * 100_000],
    "binary": [b"", b"\0", b"\x00\xff", b"\xc3\x28", b"'\"\\", b"a", bytes(range(256)) * 20],
    "boolean": [True, False],
    "tinyint": [-128, 127, 0, -1, 1],
    "smallint": [-32768, 32767, 0, -1, 1],
    "int": [-(2**31), 2**31 - 1, 0, -1, 1],
    "bigint": [-(2**63), 2**63 - 1, 0, -1, 2**53 + 1, 2**53, -(2**53) - 1],
    "float": FLOATS,
    "double": DOUBLES,
    "date": DATES,
    "timestamp": [moment.replace(tzinfo=UTC) for moment in INSTANTS],
    "timestamp_ntz": INSTANTS,
    **{f"decimal({p},{s})": _digits(p, s) for p, s in SIZES},
}
NESTED: dict[str, list[Any]] = {
    **{
        f"array<{kind}>": [[], [None], [value], [value, None, value]]
        for kind, value in [
            ("string", "e\u0301"),
            ("binary", b"\xff\0"),
            ("boolean", True),
            ("tinyint", -128),
            ("bigint", 2**63 - 1),
            ("float", -0.0),
            ("double", math.nan),
            ("date", DATES[0]),
            ("timestamp", INSTANTS[1].replace(tzinfo=UTC)),
            ("timestamp_ntz", INSTANTS[0]),
            ("decimal(20,0)", Decimal("12345678901234567890")),
            ("decimal(38,18)", _digits(38, 18)[0]),
        ]
    },
    "array<array<string>>": [[], [[]], [None], [[None]], [["red, blue"]], [["red", "blue"]], [[""], []]],
    "array<array<array<int>>>": [[[[1, None], []], None, []], [[[]]], [[None]], [[[2**31 - 1]]]],
    "map<string,bigint>": [[], [("", None)], [("a", 1), ("b", None)], [("é", 1), ("e\u0301", 2)]],
    "map<int,string>": [[], [(1, "x"), (-(2**31), "")], [(0, None)]],
    "map<date,decimal(38,18)>": [[(DATES[1], _digits(38, 18)[0])], [(DATES[0], None)], []],
    "map<timestamp,timestamp>": [[(INSTANTS[1].replace(tzinfo=UTC), INSTANTS[0].replace(tzinfo=UTC))], []],
    "map<string,array<decimal(20,0)>>": [[("a", [Decimal(10**19 + 7), None]), ("b", [])], [("", None)]],
    "map<string,map<string,double>>": [[("a", [("b", -0.0), ("c", math.inf)])], [("a", [])], [("a", None)]],
    "struct<a:int>": [{"a": 1}, {"a": None}],
    "struct<a:string,b:string>": [{"a": "1, 2", "b": "3"}, {"a": "1", "b": "2, 3"}, {"a": None, "b": ""}],
    "struct<a:int,b:struct<c:string,d:array<timestamp>>>": [
        {"a": 1, "b": {"c": "x", "d": [INSTANTS[1].replace(tzinfo=UTC), None, INSTANTS[0].replace(tzinfo=UTC)]}},
        {"a": None, "b": None},
        {"a": None, "b": {"c": None, "d": None}},
        {"a": None, "b": {"c": "", "d": []}},
    ],
    "array<struct<k:string,v:decimal(38,2)>>": [
        [{"k": "x", "v": _digits(38, 2)[1]}, None, {"k": None, "v": None}],
        [],
        [None],
    ],
    "struct<m:map<string,struct<n:binary,t:timestamp_ntz>>>": [
        {"m": [("k", {"n": b"\0", "t": INSTANTS[1]}), ("l", None)]},
        {"m": []},
        {"m": None},
    ],
}
KINDS: dict[str, list[Any]] = SCALARS | NESTED


def column(kind: str) -> str:
    """A column name for a type."""
    return re.sub(r"\W+", "_", kind).strip("_")


def arrow(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> pa.Table:
    """Rows as an Arrow table; ``kinds`` is column -> type."""
    schema = pa.schema([(name, parse_type(kind)) for name, kind in kinds.items()])
    return pa.table({name: pa.array([row[name] for row in rows], schema.field(name).type) for name in kinds}, schema)


def plain(value: Any) -> Any:
    """A value in a form that is equal, and hashes, exactly where two values are the same one."""
    if isinstance(value, float):
        return ("nan",) if math.isnan(value) else ("float", struct.pack(">d", value))
    if isinstance(value, Decimal):
        return ("decimal", value.as_tuple())
    if isinstance(value, dt.datetime):
        # A zone is UTC whatever object says so.
        return ("moment", value.replace(tzinfo=None), value.tzinfo is not None)
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) for item in value):
            return ("map", frozenset((plain(key), plain(item)) for key, item in value))
        return ("list", tuple(map(plain, value)))
    if isinstance(value, dict):
        return ("struct", tuple((name, plain(value[name])) for name in sorted(value)))
    return (type(value).__name__, value)


def differences(wanted: Iterable[Row], found: pa.Table, by: str, kinds: Mapping[str, str]) -> dict[str, str]:
    """Column -> how a table differs from the rows of the model; types count, the order of rows does not."""
    told: dict[str, str] = {}
    for name, kind in kinds.items():
        have = type_name(found.schema.field(name).type) if name in found.schema.names else "missing"
        if have != kind:
            told[name] = f"is {have}, should be {kind}"
    rows: dict[Any, Row] = {}
    for row in found.to_pylist():
        if row[by] in rows:
            told[by] = f"{row[by]!r} comes twice"
        rows[row[by]] = row
    model = {row[by]: row for row in wanted}
    if model.keys() != rows.keys():
        told[by] = f"lost {sorted(model.keys() - rows.keys())[:5]}, gained {sorted(rows.keys() - model.keys())[:5]}"
    for key in model.keys() & rows.keys():
        for name in kinds:
            if name not in told and plain(model[key][name]) != plain(rows[key][name]):
                told[name] = f"row {key}: {_short(rows[key][name])}, should be {_short(model[key][name])}"
    return told


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "..."


def drawn(kind: str) -> st.SearchStrategy[Any]:
    """Values of a type, NULL at each level."""
    return _of(parse_type(kind))


def _of(kind: pa.DataType, null: bool = True) -> st.SearchStrategy[Any]:
    made = _filled(kind)
    return st.none() | made if null else made


def _filled(kind: pa.DataType) -> st.SearchStrategy[Any]:
    t = pa.types
    if t.is_list(kind):
        return st.lists(_of(kind.value_type), max_size=3)
    if t.is_map(kind):
        key = _of(kind.key_type, null=False)
        return st.lists(st.tuples(key, _of(kind.item_type)), max_size=3, unique_by=lambda pair: plain(pair[0]))
    if t.is_struct(kind):
        return st.fixed_dictionaries({field.name: _of(field.type) for field in kind})
    if t.is_decimal(kind):
        most = 10**kind.precision - 1
        return st.integers(-most, most).map(lambda digits: _scaled(digits, kind.scale))
    if t.is_integer(kind):
        return st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    if t.is_timestamp(kind):
        moments = st.datetimes()
        return moments.map(lambda moment: moment.replace(tzinfo=UTC)) if kind.tz else moments
    simple: dict[pa.DataType, st.SearchStrategy[Any]] = {
        pa.string(): st.text(max_size=20),
        pa.binary(): st.binary(max_size=20),
        pa.bool_(): st.booleans(),
        pa.float32(): st.floats(width=32).map(lambda value: struct.unpack("f", struct.pack("f", value))[0]),
        pa.float64(): st.floats(),
        pa.date32(): st.dates(),
    }
    return simple[kind]


def _scaled(digits: int, scale: int) -> Decimal:
    with decimal.localcontext() as context:
        context.prec = 76
        return Decimal(digits).scaleb(-scale)
