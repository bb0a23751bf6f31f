"""Refuses partition values that would read back changed, within the plan that writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from kindling_entities.declare.quoting import quote, quote_text
from kindling_entities.declare.types import type_name
from kindling_entities.engines import _partition_values as values
from kindling_entities.errors import DataError
from kindling_entities.protocols import Table

_MARK = "kindling: partition value"
_FOUND = re.compile(_MARK + r" (\w+) ([0-9A-F]*) ([0-9A-F]*)")
_CODES = {
    "null": values.READS_AS_NULL,
    "folder": values.IS_NULL_FOLDER,
    "zero": values.NEGATIVE_ZERO,
    "years": values.OUT_OF_YEARS,
    "long": values.TOO_LONG,
    "byte": "holds a zero byte, which the name of a folder cannot",
}
# What Spark writes as three bytes in the name of a partition's folder (ExternalCatalogUtils.escapePathName).
_ESCAPED = "".join(map(chr, range(1, 32))) + "\x7f\"#%'*/:=?\\{[]^"
_FIRST_MICROSECOND = values.FIRST_DAY * values.MICROSECONDS_A_DAY
_LAST_MICROSECOND = (values.LAST_DAY + 1) * values.MICROSECONDS_A_DAY - 1


def guarded(frame: Any, table: Table, schema: pa.Schema, names: Iterable[str]) -> Any:
    """Make a frame fail while it is written if a partition value would not survive.

    Raises:
        UnsupportedError: values of this type never do.
    """
    columns = [name for name in names if name in schema.names]
    values.refuse_types(table, schema, columns)
    checked = {name: _checked(table, schema.field(name)) for name in columns}
    if not any(checked.values()):
        return frame
    return frame.selectExpr(*(checked.get(name) or quote(name) for name in schema.names))


def refused(table: Table, text: str) -> DataError | None:
    """The error that a guard's failure stands for; None of any other text."""
    found = _FOUND.search(text)
    if found is None:
        return None
    code, name, value = found.groups()
    shown = repr(bytes.fromhex(value).decode("utf8", "replace"))
    return values.refusal(table, bytes.fromhex(name).decode(), shown, _CODES[code])


def _checked(table: Table, field: pa.Field) -> str | None:
    cases = list(_cases(table, field))
    if not cases:
        return None
    name = quote(field.name)
    written = field.name.encode().hex().upper()

    def failing(code: str) -> str:
        shown = f"hex(left(cast({name} as string), 60))"
        return f"cast(raise_error(concat('{_MARK} {code} {written} ', {shown})) as {type_name(field.type)})"

    tests = " ".join(f"when {condition} then {failing(code)}" for code, condition in cases)
    return f"case {tests} else {name} end as {name}"


def _cases(table: Table, field: pa.Field) -> Iterable[tuple[str, str]]:
    name, kind, t = quote(field.name), field.type, pa.types
    if t.is_string(kind):
        yield "null", f"{name} = ''"
        yield "folder", f"{name} = '{values.NULL_FOLDER}'"
        yield "byte", f"instr({name}, char(0)) > 0"
        if "://" not in table.location:
            plain = f"char_length(translate({name}, {quote_text(_ESCAPED)}, ''))"
            size = f"octet_length({name}) + 2 * (char_length({name}) - {plain})"
            used = sum(3 if letter in _ESCAPED else len(letter.encode()) for letter in field.name)
            yield "long", f"{size} > {values.LONGEST_NAME_BYTES - 1 - used}"
    elif t.is_floating(kind):
        yield "zero", f"{name} = 0 and cast({name} as string) = '-0.0'"
    elif t.is_date(kind):
        yield "years", f"{name} not between date'0001-01-01' and date'9999-12-31'"
    elif t.is_timestamp(kind) and kind.tz:
        yield "years", f"unix_micros({name}) not between {_FIRST_MICROSECOND} and {_LAST_MICROSECOND}"
    elif t.is_timestamp(kind):
        first, last = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"
        yield "years", f"{name} not between timestamp_ntz'{first}' and timestamp_ntz'{last}'"
