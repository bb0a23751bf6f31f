"""Column types as texts of Spark SQL, and the Arrow types that hold their values."""

from __future__ import annotations

import re

import pyarrow as pa

from kindling_entities.errors import SchemaError

_SIMPLE: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "boolean": pa.bool_(),
    "bool": pa.bool_(),
    "tinyint": pa.int8(),
    "byte": pa.int8(),
    "smallint": pa.int16(),
    "short": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "long": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "timestamp_ntz": pa.timestamp("us"),
}
TYPE_NAMES = {
    pa.string(): "string",
    pa.binary(): "binary",
    pa.bool_(): "boolean",
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us", tz="UTC"): "timestamp",
    pa.timestamp("us"): "timestamp_ntz",
    pa.null(): "void",
}


def parse_type(text: str) -> pa.DataType:
    """Read a type as Spark SQL writes it, such as ``decimal(10,2)`` or ``array<struct<a:int>>``.

    Raises:
        SchemaError: the text is no type; the message lists what is.
    """
    kind, rest = _parse(text.strip(), text)
    if rest.strip():
        raise _bad_type(text)
    return kind


def _bad_type(text: str) -> SchemaError:
    return SchemaError(
        f"{text!r} is not a column type. Use one of {', '.join(sorted(_SIMPLE))}, "
        "decimal(p,s), array<type>, map<type,type> or struct<name:type,...>."
    )


def _parse(rest: str, whole: str) -> tuple[pa.DataType, str]:
    match = re.match(r"\s*([A-Za-z_]+)", rest)
    if match is None:
        raise _bad_type(whole)
    word, rest = match.group(1).lower(), rest[match.end() :].lstrip()
    if word in _SIMPLE:
        return _SIMPLE[word], rest
    if word in {"decimal", "numeric"}:
        sizes = re.match(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", rest)
        precision, scale = (int(sizes.group(1)), int(sizes.group(2) or 0)) if sizes else (10, 0)
        if not 1 <= precision <= 38 or scale > precision:
            raise SchemaError(f"{whole!r}: a decimal has 1 to 38 digits and no more of them after the point.")
        return pa.decimal128(precision, scale), rest[sizes.end() :] if sizes else rest
    if word == "array":
        item, rest = _parse(_skip(rest, "<", whole), whole)
        return pa.list_(item), _skip(rest, ">", whole)
    if word == "map":
        key, rest = _parse(_skip(rest, "<", whole), whole)
        value, rest = _parse(_skip(rest, ",", whole), whole)
        return pa.map_(key, value), _skip(rest, ">", whole)
    if word == "struct":
        rest = _skip(rest, "<", whole)
        fields: list[pa.Field] = []
        while True:
            name = re.match(r"\s*(?:`([^`]+)`|([^\s:,<>`]+))\s*(?::|\s)\s*", rest)
            if name is None:
                raise _bad_type(whole)
            kind, rest = _parse(rest[name.end() :], whole)
            fields.append(pa.field(name.group(1) or name.group(2), kind))
            if not rest.lstrip().startswith(","):
                return pa.struct(fields), _skip(rest, ">", whole)
            rest = _skip(rest, ",", whole)
    raise _bad_type(whole)


def _skip(rest: str, token: str, whole: str) -> str:
    rest = rest.lstrip()
    if not rest.startswith(token):
        raise _bad_type(whole)
    return rest[1:]


def type_name(kind: pa.DataType) -> str:
    """Write a type as Spark SQL does; the inverse of ``parse_type``."""
    if kind in TYPE_NAMES:
        return TYPE_NAMES[kind]
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return f"array<{type_name(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{type_name(kind.key_type)},{type_name(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{f.name}:{type_name(f.type)}' for f in kind)}>"
    return str(kind)
