"""SQL that turns the values of a row into a text or digest; different values never give the same text.

Every value is written so that its end is known: a text after its length, a number up to the comma that follows, a
list after its size. So no value can pass for another, or for two others, whatever characters it has. Every engine
gives the same text for the same value:

======================  ==============================================================
null                    ``n``
text                    its length in characters, ``:``, itself
binary                  hexadecimal digits
integers, decimals      as SQL prints them
float, double           a number that is unique to the 64 bits; all NaN are equal, -0.0 is 0.0
boolean                 ``true`` or ``false``
date, timestamp         days, microseconds since 1970 in UTC; a timestamp without zone as SQL prints it
array                   ``[``, its size, ``:``, its items, ``]``
struct                  ``(``, its fields in order, ``)``
map                     ``{``, its size, ``:``, its entries ordered by their text, ``}``
======================  ==============================================================

A digest begins with the version of this table. A digest of another version was made of other texts:
compute it anew from the values instead of comparing it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from kindling_entities.declare.quoting import quote
from kindling_entities.declare.types import type_name
from kindling_entities.errors import SchemaError

VERSION_PREFIX = "2:"

# Scales beyond this let Java print a small decimal with an exponent, where a session has ANSI mode off.
_PLAIN_SCALE = 6


def row_hash(columns: Iterable[str], schema: pa.Schema) -> str:
    """SQL of a digest that differs between rows with different values in these columns.

    Args:
        schema: their types; a column that it lacks is null throughout.

    Raises:
        SchemaError: a column has a type that no table keeps; names it.
    """
    return f"concat('{VERSION_PREFIX}', sha2({row_text(columns, schema)}, 256))"


def short_row_hash(texts: Iterable[str]) -> str:
    """SQL of a shorter digest of texts that ``value_text`` made."""
    return f"md5(concat_ws(',', '{VERSION_PREFIX}', {', '.join(texts)}))"


def row_text(columns: Iterable[str], schema: pa.Schema) -> str:
    """SQL of the text that the digest is made of; what ``row_hash`` says of its arguments holds."""
    texts = [column_text(name, schema.field(name).type) if name in schema.names else "'n'" for name in columns]
    return f"concat_ws(',', {', '.join(texts)})" if texts else "''"


def column_text(name: str, kind: pa.DataType) -> str:
    """SQL of the text of a column."""
    return value_text(quote(name), kind, f"Column {name!r}")


def value_text(value: str, kind: pa.DataType, what: str = "A value") -> str:
    """SQL of the text of an expression; never null.

    Args:
        value: SQL, written into the result more than once.
        what: names it in messages.

    Raises:
        SchemaError: no table keeps this type.
    """
    return _text(value, kind, what, 0)


def frame_schema(frame: Any) -> pa.Schema:
    """The schema of a Spark frame, classic or Connect, in Arrow's types."""
    from pyspark.sql.pandas.types import to_arrow_schema

    schema: pa.Schema = to_arrow_schema(frame.schema)
    return schema


def _text(value: str, kind: pa.DataType, what: str, depth: int) -> str:
    t = pa.types
    if t.is_null(kind):
        return "'n'"
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return f"coalesce(concat(cast(length({value}) as string), ':', {value}), 'n')"
    if t.is_floating(kind):
        # xxhash64 of eight bytes is injective: each of its steps can be undone. A text of a double differs by engine.
        return (
            f"case when {value} is null then 'n' when isnan({value}) then 'NaN' when {value} = 0 then 'zero' "
            f"else cast(xxhash64(cast({value} as double)) as string) end"
        )
    if t.is_decimal(kind):
        return _decimal(value, kind)
    if t.is_integer(kind) or t.is_boolean(kind):
        return f"coalesce(cast({value} as string), 'n')"
    if t.is_date(kind):
        return f"coalesce(cast(unix_date({value}) as string), 'n')"
    if t.is_timestamp(kind):
        number = f"unix_micros({value})" if kind.tz else value
        return f"coalesce(cast({number} as string), 'n')"
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind) or t.is_fixed_size_binary(kind):
        return f"coalesce(hex({value}), 'n')"
    if t.is_struct(kind):
        fields = [_text(f"{value}.{quote(field.name)}", field.type, what, depth) for field in kind]
        return f"if({value} is null, 'n', concat('(', concat_ws(',', {', '.join(fields) or repr('')}), ')'))"
    item = f"x{depth}"
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        texts = f"transform({value}, {item} -> {_text(item, kind.value_type, what, depth + 1)})"
        return _sized(value, texts, "[]")
    if t.is_map(kind):
        key = _text(f"{item}.key", kind.key_type, what, depth + 1)
        entry = _text(f"{item}.value", kind.item_type, what, depth + 1)
        texts = f"array_sort(transform(map_entries({value}), {item} -> concat({key}, ',', {entry})))"
        return _sized(value, texts, "{}")
    raise SchemaError(
        f"{what} has type {type_name(kind)}, whose values cannot be told apart. Cast it, or leave it out."
    )


def _sized(value: str, texts: str, brackets: str) -> str:
    size = f"cast(size({value}) as string)"
    whole = f"concat('{brackets[0]}', {size}, ':', array_join({texts}, ','), '{brackets[1]}')"
    return f"if({value} is null, 'n', {whole})"


def _decimal(value: str, kind: pa.DataType) -> str:
    text = f"coalesce(cast({value} as string), 'n')"
    if kind.scale <= _PLAIN_SCALE or kind.scale > 36:
        return text
    # Below 0.000001 the same on every session: 1 is added, so that no exponent is printed.
    digits = f"cast(1 + abs(cast({value} as decimal({kind.scale},{kind.scale}))) as string)"
    # Not by abs(): Spark negates with 34 digits, so that the least decimals of 38 would be rounded, and overflow.
    return f"if({value} > -0.000001 and {value} < 0.000001, concat(if({value} < 0, '-', '+'), {digits}), {text})"
