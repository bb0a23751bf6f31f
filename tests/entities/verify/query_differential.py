"""Tables with the edges of every type, and random queries over them in the words of Spark and of DuckDB.

Everything follows from a seed. A query is kept as two texts that mean the same; where the two engines give one
operation different meanings, the generator leaves it out or spells out the meaning that Spark has.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from kindling_entities.declare.types import parse_type

UTC = dt.timezone.utc
NUMBERS = ("i8", "i16", "i32", "i64", "d9", "d15", "d20", "d38", "f32", "f64")
WHOLE = ("i8", "i16", "i32", "i64")
FLOATS = ("f32", "f64")
DECIMALS = ("d9", "d15", "d20", "d38")

TYPES = {
    "bool": "boolean",
    "i8": "tinyint",
    "i16": "smallint",
    "i32": "int",
    "i64": "bigint",
    "f32": "float",
    "f64": "double",
    "d9": "decimal(9,2)",
    "d15": "decimal(15,5)",
    "d20": "decimal(20,0)",
    "d38": "decimal(38,10)",
    "s": "string",
    "b": "binary",
    "date": "date",
    "ts": "timestamp",
    "ntz": "timestamp_ntz",
}
NESTED = {
    "list": "array<bigint>",
    "st": "struct<x:int,y:string>",
    "m": "map<string,int>",
}

FRAMES = (
    " rows between 1 preceding and 1 following",
    " rows between unbounded preceding and current row",
    " rows between unbounded preceding and unbounded following",
)

EDGES: dict[str, list[Any]] = {
    "bool": [True, False],
    "i8": [-128, -1, 0, 1, 127],
    "i16": [-32768, -1, 0, 1, 32767],
    "i32": [-(2**31), -1, 0, 1, 2**31 - 1],
    "i64": [-(2**63), -(2**53) - 1, -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 1],
    "f32": [-math.inf, -1.5, -0.0, 0.0, 2.0**-149, 0.5, 16777216.0, 3.4028234663852886e38, math.inf, math.nan],
    "f64": [-math.inf, -1.5, -0.0, 0.0, 5e-324, 0.1, 2.0**53, 1.7976931348623157e308, math.inf, math.nan],
    "d9": ["-9999999.99", "-0.01", "0.00", "0.01", "1.00", "9999999.99"],
    "d15": ["-9999999999.99999", "-0.00001", "0.00000", "1.00000", "9999999999.99999"],
    "d20": ["-99999999999999999999", "1234567890123456789", "1234567890123456790", "1234567890123456791", "0", "1"],
    "d38": ["-9999999999999999999999999999.9999999999", "12345678901234567890.0000000001", "0E-10", "1E-10"],
    "s": [
        "",
        " ",
        "a",
        "A",
        "a ",
        "aa",
        "\u00e9",
        "e\u0301",
        "\u00df",
        "ss",
        "Z",
        "~",
        "\U0001f600",
        "\uffee",
        "a\x00b",
    ],
    "b": [b"", b"\x00", b"\x00\x00", b"\x7f", b"\x80", b"\xff", b"a"],
    "date": ["0001-01-01", "1582-10-04", "1582-10-15", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"],
    "ts": [
        "0001-01-01T00:00:00",
        "1677-09-21T00:12:43.145224",
        "1969-12-31T23:59:59.999999",
        "1970-01-01T00:00:00",
        "2024-03-31T02:30:00.000001",
        "2262-04-11T23:47:16.854776",
        "9999-12-31T23:59:59.999999",
    ],
}
EDGES["ntz"] = EDGES["ts"]
for _name in DECIMALS:
    EDGES[_name] = [Decimal(value) for value in EDGES[_name]]
EDGES["date"] = [dt.date.fromisoformat(value) for value in EDGES["date"]]
EDGES["ts"] = [dt.datetime.fromisoformat(value).replace(tzinfo=UTC) for value in EDGES["ts"]]
EDGES["ntz"] = [dt.datetime.fromisoformat(value) for value in EDGES["ntz"]]


def table(seed: int, rows: int) -> pa.Table:
    """Rows with every type; a third of the values are edges, some are null, the rest repeat among few."""
    rng = random.Random(seed)
    columns: dict[str, pa.Array] = {"id": pa.array(range(rows), pa.int64())}
    for name, kind in TYPES.items():
        columns[name] = pa.array([_value(rng, name) for _ in range(rows)], parse_type(kind))
    lists = [_maybe(rng, lambda: [_value(rng, "i64") for _ in range(rng.randrange(3))]) for _ in range(rows)]
    structs = [_maybe(rng, lambda: {"x": _value(rng, "i32"), "y": _value(rng, "s")}) for _ in range(rows)]
    maps = [_maybe(rng, lambda: [(k, _value(rng, "i32")) for k in "ab"[: rng.randrange(3)]]) for _ in range(rows)]
    for name, values in zip(NESTED, (lists, structs, maps), strict=True):
        columns[name] = pa.array(values, parse_type(NESTED[name]))
    return pa.table(columns)


def _maybe(rng: random.Random, make: Callable[[], Any]) -> Any:
    return None if rng.random() < 0.2 else make()


def _value(rng: random.Random, name: str) -> Any:
    chance = rng.random()
    if chance < 0.12:
        return None
    if chance < 0.6:
        return rng.choice(EDGES[name])
    small = rng.randrange(-3, 4)
    if name == "bool":
        return rng.random() < 0.5
    if name in WHOLE:
        return small
    if name in FLOATS:
        return small / 4
    if name in DECIMALS:
        return Decimal(small)
    if name == "s":
        return "".join(rng.choice("abAB\u00e4 ") for _ in range(rng.randrange(3)))
    if name == "b":
        return bytes(rng.randrange(256) for _ in range(rng.randrange(3)))
    day = dt.date(2024, 2, 28) + dt.timedelta(days=small)
    if name == "date":
        return day
    at = dt.datetime(day.year, day.month, day.day, 12, 0, 0, rng.choice([0, 1, 999999]))
    return at.replace(tzinfo=UTC) if name == "ts" else at


@dataclass(frozen=True)
class Query:
    """One question in two languages.

    Attributes:
        kind: filter, aggregate, sort, join, window, set or arithmetic; the last may overflow, in both languages.
        steps: methods of the frame ``t`` with texts for arguments, in place of the statement; these come out guarded.
        ordered: whether the order of rows counts.
        folded: whether zeros may come with either sign, as where equal keys become one.
    """

    kind: str
    spark: str
    duckdb: str
    steps: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ordered: bool = False
    folded: bool = False


@dataclass(frozen=True)
class Text:
    """An expression in both languages."""

    spark: str
    duckdb: str

    @staticmethod
    def same(text: str) -> Text:
        return Text(text, text)


def join(template: str, *parts: Text) -> Text:
    """Fill a template with the parts of each language."""
    return Text(template.format(*(p.spark for p in parts)), template.format(*(p.duckdb for p in parts)))


def key(name: str, kind: str | None = None) -> str:
    """A column to group, to sort or to tell rows apart by. Sail takes the zeros for two unless zero is added."""
    kind = kind or TYPES[name]
    return f"({name} + cast(0 as {kind}))" if kind in ("float", "double") else name


def literal(value: Any, name: str) -> Text:
    """A value as a constant of a column's type."""
    kind = TYPES[name]
    if value is None:
        return Text(f"cast(null as {kind})", f"cast(null as {_duck(kind)})")
    if isinstance(value, bool):
        return Text.same("true" if value else "false")
    if isinstance(value, bytes):
        return Text(f"X'{value.hex()}'", f"from_hex('{value.hex()}')")
    if isinstance(value, float):
        text = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN" if value != value else repr(value))
        return Text(f"cast('{text}' as {kind})", f"cast('{text}' as {_duck(kind)})")
    if isinstance(value, str):
        spark = "".join(f"\\u{ord(c):04x}" if c == "\x00" else c for c in value)
        duck = value.replace("\x00", "'||chr(0)||'")
        return Text(f"'{spark}'", f"('{duck}')")
    if isinstance(value, dt.datetime):
        text = f"{value.year:04d}-" + value.strftime("%m-%d %H:%M:%S.%f")
        zone = "+00:00" if name == "ts" else ""
        return Text(f"cast('{text}{zone}' as {kind})", f"cast('{text}{zone}' as {_duck(kind)})")
    if isinstance(value, dt.date):
        text = f"{value.year:04d}-" + value.strftime("%m-%d")
        return Text.same(f"cast('{text}' as date)")
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return Text(f"cast('{text}' as {kind})", f"cast('{text}' as {_duck(kind)})")


def _duck(kind: str) -> str:
    return {
        "timestamp": "timestamptz",
        "timestamp_ntz": "timestamp",
        "binary": "blob",
        "string": "varchar",
    }.get(kind, kind)


class Queries:
    """Draws queries over the views ``t`` and ``u``, which have the columns of ``table``."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._kinds = [self._filter, self._filter, self._aggregate, self._sort, self._join, self._window, self._set]
        self._kinds += [self._arithmetic]

    def draw(self) -> Query:
        """The next query."""
        return self._rng.choice(self._kinds)()

    def _some(self, names: Any, least: int, most: int) -> list[str]:
        names = list(names)
        return self._rng.sample(names, self._rng.randint(least, min(most, len(names))))

    def _constant(self, name: str) -> Text:
        value = None
        while value is None:
            value = _value(self._rng, name)
        return literal(value, name)

    def predicate(self, depth: int = 2, alias: str = "") -> Text:
        """A condition on the columns of one view."""
        rng = self._rng
        if depth and rng.random() < 0.5:
            parts = [self.predicate(depth - 1, alias) for _ in range(2)]
            return join(rng.choice(["({0} and {1})", "({0} or {1})", "(not {0} or {1})", "({0} and not {1})"]), *parts)
        name = rng.choice(list(TYPES))
        column = Text.same(f"{alias}{name}")
        shape = rng.randrange(8)
        operator = rng.choice(["=", "<>", "<", "<=", ">", ">="])
        if shape <= 2:
            sides = [column, self._constant(name)]
            rng.shuffle(sides)
            return join("({0} " + operator + " {1})", *sides)
        if shape == 3:
            items = [self._constant(name) for _ in range(rng.randint(1, 4))]
            if name in FLOATS:
                column = Text.same(key(alias + name, TYPES[name]))
                items = [join("({0} + cast(0 as " + TYPES[name] + "))", item) for item in items]
            word = rng.choice(["in", "not in"])
            marks = ", ".join(f"{{{i + 1}}}" for i in range(len(items)))
            return join("({0} " + word + " (" + marks + "))", column, *items)
        if shape == 4:
            return join("({0} between {1} and {2})", column, self._constant(name), self._constant(name))
        if shape == 5:
            return join(rng.choice(["({0} is null)", "({0} is not null)"]), column)
        if shape == 6 and name in NUMBERS:
            family = [one for one in NUMBERS if (one in FLOATS) == (name in FLOATS)]
            return Text.same(f"({alias}{name} {operator} {alias}{rng.choice(family)})")
        if shape == 6:
            nothing = self._constant(name)
            return Text(
                f"({column.spark} <=> {nothing.spark})", f"({column.duckdb} is not distinct from {nothing.duckdb})"
            )
        if name == "s":
            prefix = rng.choice(["a%", "%a", "%\u00e9%", "_", "__", "A_%", ""])
            return Text.same(f"({alias}s like '{prefix}')")
        return self._derived(alias)

    def _derived(self, alias: str) -> Text:
        """A condition on what functions and arithmetic make of columns; none of it overflows."""
        pick: list[Text] = [
            Text(f"(length({alias}s) > 1)", f"(length({alias}s) > 1)"),
            Text(f"(cast({alias}i32 as bigint) + {alias}i8 > 5)", f"(cast({alias}i32 as bigint) + {alias}i8 > 5)"),
            Text(f"(cast({alias}i16 as int) * {alias}i8 <= 7)", f"(cast({alias}i16 as int) * {alias}i8 <= 7)"),
            Text(f"({alias}i32 % 3 = -1)", f"({alias}i32 % 3 = -1)"),
            Text(f"({alias}i32 div 7 < 2)", f"({alias}i32 // 7 < 2)"),
            Text(f"(year({alias}date) > 1900)", f"(year({alias}date) > 1900)"),
            Text(f"(month({alias}ts) = 12)", f"(month({alias}ts) = 12)"),
            Text(f"(hour({alias}ntz) >= 12)", f"(hour({alias}ntz) >= 12)"),
            Text(f"(datediff({alias}date, date'1970-01-01') > 0)", f"(({alias}date - date'1970-01-01') > 0)"),
            Text(f"(coalesce({alias}d20, 0) > {alias}d9)", f"(coalesce({alias}d20, 0) > {alias}d9)"),
            Text(f"({alias}d9 + {alias}d15 > 1)", f"({alias}d9 + {alias}d15 > 1)"),
            Text(f"(abs({alias}d38) <= 1)", f"(abs({alias}d38) <= 1)"),
            Text(f"({alias}f64 * 2 > 1)", f"({alias}f64 * 2 > 1)"),
            Text.same(f"coalesce(isnan({alias}f64), false)"),
            Text(f"({alias}st.x > 0)", f"({alias}st.x > 0)"),
            Text(f"({alias}st.y = 'a')", f"({alias}st.y = 'a')"),
            Text(f"({alias}m['a'] > 0)", f"({alias}m['a'] > 0)"),
            Text(f"(get({alias}list, 0) = 1)", f"({alias}list[1] = 1)"),
            Text(
                f"(coalesce(array_contains({alias}list, 1L), false))", f"coalesce(list_contains({alias}list, 1), false)"
            ),
            Text(f"(upper({alias}s) = 'A')", f"(upper({alias}s) = 'A')"),
            Text(f"({alias}s || 'x' > 'ax')", f"({alias}s || 'x' > 'ax')"),
        ]
        return self._rng.choice(pick)

    def _filter(self) -> Query:
        columns = ["id", *self._some([*TYPES, *NESTED], 1, 4)]
        names, condition = ", ".join(columns), self.predicate(3)
        steps = (("where", (condition.spark,)), ("select", tuple(columns))) if self._rng.random() < 0.5 else ()
        return Query(
            "filter",
            f"select {names} from t where {condition.spark}",
            f"select {names} from t where {condition.duckdb}",
            steps,
        )

    def _whole(self, depth: int) -> str:
        """Arithmetic of integers, which may overflow."""
        rng = self._rng
        if not depth or rng.random() < 0.2:
            kind = TYPES[rng.choice(WHOLE)]
            return rng.choice([*WHOLE, f"cast({rng.choice([-1, 0, 1, 2, 7, 127])} as {kind})"])
        shape = rng.randrange(9)
        if shape == 0:
            return f"(- {self._whole(depth - 1)})"
        if shape == 1:
            return f"abs({self._whole(depth - 1)})"
        if shape == 2:
            condition = f"{rng.choice(WHOLE)} > {rng.choice(WHOLE)}"
            return f"(case when {condition} then {self._whole(depth - 1)} else {self._whole(depth - 1)} end)"
        return f"({self._whole(depth - 1)} {rng.choice('+-*')} {self._whole(depth - 1)})"

    def _arithmetic(self) -> Query:
        rng = self._rng
        columns = [f"{self._whole(3)} as c{index}" for index in range(rng.randint(1, 3))]
        # A few rows at a time, so that now and then nothing overflows.
        condition = f"id % {rng.choice([40, 60])} = {rng.randrange(40)}"
        if rng.random() < 0.3:
            totals = [f"sum({self._whole(1)}) as c{index}" for index in range(rng.randint(1, 2))]
            duck = ", ".join(f"cast({one.rpartition(' as ')[0]} as bigint) as c{i}" for i, one in enumerate(totals))
            steps = (("where", (condition,)), ("groupBy", ("bool",)), ("agg", tuple(totals)))
            return Query("arithmetic", "", f"select bool, {duck} from t where {condition} group by bool", steps)
        steps = (("where", (condition,)), ("selectExpr", ("id", *columns)))
        return Query("arithmetic", "", f"select id, {', '.join(columns)} from t where {condition}", steps)

    def _aggregates(self) -> list[Text]:
        rng = self._rng
        made = []
        for position in range(rng.randint(1, 4)):
            name = rng.choice(list(TYPES))
            options = [Text.same("count(*)"), Text.same(f"count({name})"), Text.same(f"count(distinct {key(name)})")]
            options += [Text.same(f"min({name})"), Text.same(f"max({name})")] * 2
            if name in ("i8", "i16", "i32"):
                options += [Text(f"sum({name})", f"cast(sum({name}) as bigint)")] * 2
            if name in ("d9", "d15"):
                options += [Text.same(f"sum({name})")] * 2
            if name in WHOLE:
                options.append(Text(f"count_if({name} > 0)", f"count(*) filter (where {name} > 0)"))
                options.append(Text.same(f"max(cast({name} as decimal(20,0)) * 2)"))
            if name == "bool":
                options += [Text.same("bool_and(bool)"), Text.same("bool_or(bool)")]
            chosen = rng.choice(options)
            made.append(Text(f"{chosen.spark} as a{position}", f"{chosen.duckdb} as a{position}"))
        return made

    def _aggregate(self) -> Query:
        rng = self._rng
        keys = [f"{key(name)} as k{index}" for index, name in enumerate(self._some(TYPES, 0, 2))]
        parts = self._aggregates()
        where = self.predicate(1) if rng.random() < 0.5 else Text.same("true")
        grouped = f" group by {', '.join(one.rpartition(' as ')[0] for one in keys)}" if keys else ""
        having = keys and rng.random() < 0.5
        duck = f"select {', '.join([*keys, *(p.duckdb for p in parts)])} from t where {where.duckdb}{grouped}"
        texts = [*(p.spark for p in parts), *(["count(*) as n"] if having else [])]
        steps = [("where", (where.spark,)), ("groupBy", tuple(keys)), ("agg", tuple(texts))]
        if having:
            duck += " having count(*) > 1"
            steps += [("where", ("n > 1",)), ("drop", ("n",))]
        return Query("aggregate", "", duck, tuple(steps), folded=True)

    def _order(self, names: Any = TYPES) -> str:
        terms = [
            f"{key(name)} {self._rng.choice(['asc', 'desc'])} nulls {self._rng.choice(['first', 'last'])}"
            for name in self._some(names, 1, 3)
        ]
        return ", ".join([*terms, "id"])

    def _said(self, order: str) -> str:
        """The order for Spark, now and then without what it means anyway."""
        if self._rng.random() < 0.5:
            return order
        return order.replace(" asc nulls first", "").replace(" desc nulls last", " desc")

    def _sort(self) -> Query:
        names = ", ".join(["id", *self._some(TYPES, 1, 3)])
        order, limit = self._order(), self._rng.choice(["", " limit 1", " limit 7", " limit 20 offset 3"])
        where = join(" where {0}", self.predicate(1)) if self._rng.random() < 0.4 else Text.same("")
        spark, duck = (f"select {names} from t{where_} order by " for where_ in (where.spark, where.duckdb))
        return Query("sort", f"{spark}{self._said(order)}{limit}", f"{duck}{order}{limit}", ordered=True)

    def _join(self) -> Query:
        rng = self._rng
        how = rng.choice(["inner join", "left join", "right join", "full join", "left semi join", "left anti join"])
        on = []
        for name in self._some(TYPES, 1, 2):
            other = name
            if rng.random() < 0.25 and name in NUMBERS:
                other = rng.choice([one for one in NUMBERS if (one in FLOATS) == (name in FLOATS)])
            if rng.random() < 0.2:
                on.append(Text(f"t.{name} <=> u.{other}", f"t.{name} is not distinct from u.{other}"))
            else:
                on.append(Text.same(f"t.{name} = u.{other}"))
        if rng.random() < 0.3:
            on.append(self.predicate(0, "u."))
        condition = join(" and ".join(f"{{{i}}}" for i in range(len(on))), *on)
        one_sided = "semi" in how or "anti" in how
        names = "t.id, t.s" if one_sided else "t.id as a, u.id as b, t.d20 as c, u.d38 as d"
        duck = how.replace("left semi", "semi").replace("left anti", "anti")
        return Query(
            "join",
            f"select {names} from t {how} u on {condition.spark}",
            f"select {names} from t {duck} u on {condition.duckdb}",
        )

    def _window(self) -> Query:
        rng = self._rng
        keys = [key(name) for name in self._some(TYPES, 0, 2)]
        parts = f"partition by {', '.join(keys)} " if keys else ""
        # Sail refuses ranges over bytes.
        order = self._order([name for name in TYPES if name != "b"])
        name = rng.choice(list(TYPES))
        frame = rng.choice(["", *FRAMES])
        one = rng.choice(
            [
                f"row_number() over ({parts}order by {order})",
                f"rank() over ({parts}order by {order.rpartition(',')[0]})",
                f"dense_rank() over ({parts}order by {order.rpartition(',')[0]})",
                f"lag({name}) over ({parts}order by {order})",
                f"lead({name}, 2) over ({parts}order by {order})",
                f"min({name}) over ({parts}order by {order}{frame})",
                f"max({name}) over ({parts}order by {order}{frame})",
                f"count({name}) over ({parts}order by {order}{frame})",
                f"first_value({name}) over ({parts}order by {order}{frame})",
                f"last_value({name}) over ({parts}order by {order}{FRAMES[2]})",
                f"ntile(3) over ({parts}order by {order})",
            ]
        )
        whole = rng.choice(["i8", "i16", "i32", "d9"])
        total = f"sum({whole}) over ({parts}order by {order}{frame})"
        duck = total if whole in DECIMALS else f"cast({total} as bigint)"
        return Query(
            "window",
            "",
            f"select id, {one} as w, {duck} as v from t",
            (("selectExpr", ("id", self._said(f"{one} as w"), f"{total} as v")),),
            folded=True,
        )

    def _set(self) -> Query:
        rng = self._rng
        names = ", ".join(map(key, self._some(TYPES, 1, 2)))
        how = rng.choice(["union", "union all", "intersect", "except"])
        left, right = self.predicate(1), self.predicate(1)
        return Query(
            "set",
            f"select {names} from t where {left.spark} {how} select {names} from u where {right.spark}",
            f"select {names} from t where {left.duckdb} {how} select {names} from u where {right.duckdb}",
            folded=True,
        )


def frame_of(session: Any, query: Query) -> Any:
    """The frame of a query, by its steps or its statement."""
    if not query.steps:
        return session.sql(query.spark)
    from pyspark.sql import functions as F

    made = session.table("t")
    for method, texts in query.steps:
        if method in ("groupBy", "agg"):
            made = getattr(made, method)(*(F.expr(text) for text in texts))
        else:
            made = getattr(made, method)(*texts)
    return made


def plain(rows: pa.Table, *, folded: bool) -> list[tuple[Any, ...]]:
    """Values that compare by ``==``: no NaN, times as numbers, the zeros apart unless folded."""
    columns = []
    for column in rows.columns:
        kind = column.type
        if pa.types.is_timestamp(kind):
            values = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()).to_pylist()
        elif pa.types.is_date(kind):
            values = column.cast(pa.int32()).to_pylist()
        elif pa.types.is_map(kind):
            values = [None if v is None else sorted(map(tuple, v), key=repr) for v in column.to_pylist()]
        else:
            values = column.to_pylist()
        columns.append([_canonical(value, folded) for value in values])
    return list(zip(*columns, strict=True))


def _canonical(value: Any, folded: bool) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if value == 0:
            return "-0.0" if math.copysign(1, value) < 0 and not folded else "0.0"
    if isinstance(value, Decimal):
        return value + 0
    if isinstance(value, dict):
        return tuple((k, _canonical(v, folded)) for k, v in value.items())
    if isinstance(value, list):
        return tuple(_canonical(v, folded) for v in value)
    return value


def difference(query: Query, ours: pa.Table, theirs: pa.Table) -> str | None:
    """How two results differ; None where they say the same."""
    left, right = plain(ours, folded=query.folded), plain(theirs, folded=query.folded)
    if query.ordered:
        for index, (mine, its) in enumerate(zip(left, right, strict=False)):
            if mine != its:
                return f"row {index}: {mine!r}, expected {its!r}"
        return None if len(left) == len(right) else f"{len(left)} rows, expected {len(right)}"
    have, want = Counter(left), Counter(right)
    if have == want:
        return None
    return f"too many {list((have - want).items())[:3]!r}, missing {list((want - have).items())[:3]!r}"
