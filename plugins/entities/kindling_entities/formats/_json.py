"""Json files: one object a line, or one array of objects.

pyarrow parses what it parses without loss. It takes texts that look like dates for timestamps and long numbers for
doubles, so each block is looked at first, and Python's parser reads the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.json

from kindling_core.errors import did_you_mean
from kindling_entities.declare.nested import holds, with_leaves
from kindling_entities.declare.types import type_name
from kindling_entities.errors import CorruptTableError, SchemaError
from kindling_entities.formats._bytes import chunks, count_lines, refuse_other_encoding
from kindling_entities.formats._csv import Source
from kindling_entities.formats._dirt import BadRow, Dirt, bad_value
from kindling_entities.formats._json_values import LARGE, Mismatch, column_of, final, kind_of, loads, unify
from kindling_entities.formats._options import TextOptions
from kindling_entities.formats._tables import partition_values
from kindling_entities.formats._values import parsed

# Numbers that a double may not hold: many digits, or an exponent; texts that look so only cost time.
_RISKY = re.compile(rb"[0-9.]{16}|[0-9][eE]")
_LONGEST_LINE_BYTES = 256 * 1024 * 1024
_KEPT_BYTES = 128 * 1024 * 1024


@dataclass
class _Lines:
    """Whole lines of a file.

    Attributes:
        line: of the first; of an array of objects the number of the first element.
        table: what pyarrow made of them while types were looked for.
    """

    source: Source
    data: bytes
    line: int
    table: pa.Table | None = None


class JsonFiles:
    """The json files of a source.

    Attributes:
        schema: columns in the order in which they appear, then columns of the folders.
        dirt: counts, complete when all batches were taken.
    """

    def __init__(
        self, what: str, sources: Sequence[Source], declared: pa.Schema, options: TextOptions, dirt: Dirt
    ) -> None:
        self.dirt = dirt
        self._what = what
        self._options = options
        self._sources = sources
        self._declared = {field.name: field.type for field in declared}
        self._kept: list[_Lines] | None = []
        kinds = self._find_kinds()
        self._partition = [name for name in sources[0].partition if name not in kinds]
        missing = [name for name in self._declared if name not in kinds and name not in self._partition]
        if missing and kinds:
            raise SchemaError(
                f"{what}: no row of its files has the declared column(s) {', '.join(map(repr, missing))}."
                f"{did_you_mean(missing[0], list(kinds))} They have {', '.join(map(repr, kinds))}."
            )
        if not kinds and not self._declared:
            raise CorruptTableError(
                f"{what}: {sources[0].path} is empty and no columns are declared. Declare columns=..."
            )
        names = [*kinds, *(missing if not kinds else []), *self._partition]
        self.schema = pa.schema(
            [(name, self._declared.get(name) or final(kinds.get(name, pa.null()))) for name in names]
        )

    def _find_kinds(self) -> dict[str, pa.DataType]:
        """Look through all files for their columns and the kinds of their values."""
        kinds: dict[str, pa.DataType] = {}
        size = 0
        for source in self._sources:
            for lines in self._lines(source):
                try:
                    for name, kind in self._kinds(lines).items():
                        if name in self._declared:
                            kinds.setdefault(name, pa.null())
                        else:
                            kinds[name] = unify(kinds.get(name, pa.null()), kind, name)
                except Mismatch as error:
                    raise SchemaError(
                        f"{self._what}: {source.path}: column {error.column!r} holds {error.other} here and "
                        f"{error.known} before. Correct the file, or declare the column as string."
                    ) from None
                size += len(lines.data)
                if self._kept is not None:
                    self._kept.append(lines)
                    if size > _KEPT_BYTES:
                        self._kept = None
        return kinds

    def _lines(self, source: Source) -> Iterator[_Lines]:
        data, line, begun = b"", 1, False
        for chunk in chunks(self._what, source.path, self._options):
            data = data + chunk if data else chunk
            if not begun and (text := data.lstrip()):
                begun = True
                if text.startswith(b"["):
                    yield from self._array(source, data)
                    return
            end = data.rfind(b"\n") + 1
            if end:
                yield self._checked(_Lines(source, data[:end], line))
                line, data = line + count_lines(data, end), data[end:]
            elif len(data) > _LONGEST_LINE_BYTES:
                raise self._no_json(source, line, f"is longer than {_LONGEST_LINE_BYTES >> 20} MiB")
        if data.strip():
            yield self._checked(_Lines(source, data, line))

    def _checked(self, lines: _Lines) -> _Lines:
        refuse_other_encoding(self._what, lines.source.path, lines.data, lines.line)
        return lines

    def _array(self, source: Source, begin: bytes) -> Iterator[_Lines]:
        """Take an array of objects apart, each to a line."""
        parts, size = [], 0
        for chunk in chunks(self._what, source.path, self._options):
            parts.append(chunk)
            size += len(chunk)
            if size > _LONGEST_LINE_BYTES:
                raise CorruptTableError(
                    f"{self._what}: {source.path} is an array of more than {_LONGEST_LINE_BYTES >> 20} MiB. Write it "
                    "as one object a line (JSON lines), which is read piece by piece."
                )
        data = b"".join(parts)
        refuse_other_encoding(self._what, source.path, data, 1)
        text = data.decode("utf-8").strip()
        decoder, found, at = json.JSONDecoder(), [], 1
        space = re.compile(r"[ \t\r\n]*")
        try:
            at = space.match(text, at).end()  # type: ignore[union-attr]
            while text[at] != "]":
                _, end = decoder.raw_decode(text, at)
                # Within json a newline is space, since texts write it as \n.
                found.append(text[at:end].replace("\n", " ").replace("\r", " "))
                at = space.match(text, end).end()  # type: ignore[union-attr]
                if text[at] == ",":
                    at = space.match(text, at + 1).end()  # type: ignore[union-attr]
                elif text[at] != "]":
                    raise ValueError(f"a comma is missing at character {at}")
            if text[at + 1 :].strip():
                raise ValueError("text follows the end of the array")
        except (ValueError, IndexError) as error:
            line = text.count("\n", 0, at) + 1
            raise CorruptTableError(
                f"{self._what}: {source.path}, after line {line}: {error or 'the array does not end'}. "
                "Json is read as one object a line (JSON lines), or as one array of objects."
            ) from None
        if found:
            yield _Lines(source, ("\n".join(found) + "\n").encode(), 1)

    def _kinds(self, lines: _Lines) -> dict[str, pa.DataType]:
        table = self._fast(lines, None)
        if table is None:
            columns: dict[str, pa.DataType] = {}
            for line, _, row in self._rows(lines):
                if row is None:
                    continue
                for name, value in row.items():
                    if name in self._declared:
                        columns.setdefault(name, pa.null())
                        continue
                    try:
                        known = columns.get(name, pa.null())
                        columns[name] = unify(known, kind_of(value, name), name)
                    except Mismatch as error:
                        raise SchemaError(
                            f"{self._what}: {lines.source.path}, line {line}: column {error.column!r} holds "
                            f"{error.other} here and {error.known} before. Correct the file, or declare the column as "
                            "string."
                        ) from None
            return columns
        lines.table = table
        kinds = {field.name: field.type for field in table.schema if self._occurs(field.name, table, lines.data)}
        if _RISKY.search(lines.data):
            # Its integers may be too large to share a column with fractions of another block.
            kinds = {name: _cautious(kind) for name, kind in kinds.items()}
        return kinds

    def _occurs(self, name: str, table: pa.Table, data: bytes) -> bool:
        """Whether a block has a column: pyarrow adds those that are declared."""
        if name not in self._declared or table.column(name).null_count < table.num_rows:
            return True
        return any(json.dumps(name, ensure_ascii=escaped).encode() in data for escaped in (False, True))

    def _fast(self, lines: _Lines, schema: pa.Schema | None) -> pa.Table | None:
        """Let pyarrow parse; None where it cannot, or would lose something."""
        fields = {field.name: field.type for field in schema} if schema is not None else dict(self._declared)
        explicit = {name: _parseable(kind) for name, kind in fields.items()}
        if any(kind is None for kind in explicit.values()):
            return None
        table = _parse(lines.data, explicit)
        if table is None:
            return None
        guessed = {field.name: field.type for field in table.schema if field.name not in fields}
        texts = {name: _texts(kind) for name, kind in guessed.items()}
        if texts != guessed:
            table = _parse(lines.data, {**explicit, **texts})
        if any(holds(kind, pa.types.is_floating) for kind in guessed.values()) and _RISKY.search(lines.data):
            return None
        return table

    def _rows(self, lines: _Lines) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
        """Yield line, text and object of each row; None for what is no object."""
        for number, text in enumerate(lines.data.decode("utf-8").split("\n"), lines.line):
            if not text.strip():
                continue
            try:
                row = loads(text)
            except ValueError:
                row = None
            yield number, text.rstrip("\r"), row if isinstance(row, dict) else None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows in the types of the schema.

        Raises:
            CorruptTableError: a row or a value does not parse, and the source does not take that.
        """
        kept, self._kept = self._kept, None
        pieces = (
            iter(kept) if kept is not None else (lines for source in self._sources for lines in self._lines(source))
        )
        for lines in pieces:
            batch = self._quick(lines)
            batch = self._slow(lines) if batch is None else batch
            lines.table = None
            self.dirt.rows_read += batch.num_rows
            yield batch

    def _own(self) -> pa.Schema:
        return pa.schema([field for field in self.schema if field.name not in self._partition])

    def _quick(self, lines: _Lines) -> pa.RecordBatch | None:
        own = self._own()
        table = lines.table
        if table is None or any(
            name in own.names and _parseable(own.field(name).type) != kind and not pa.types.is_null(kind)
            for name, kind in zip(table.schema.names, table.schema.types, strict=True)
        ):
            table = self._fast(lines, own)
        if table is None:
            return None
        columns = []
        for field in self.schema:
            index = table.schema.get_field_index(field.name)
            if field.name in self._partition:
                columns.append(partition_values(self._what, lines.source, field, table.num_rows))
            elif index < 0:
                columns.append(pa.nulls(table.num_rows, field.type))
            else:
                column = table.column(index).combine_chunks()
                column = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks else column
                if isinstance(column, pa.ChunkedArray):
                    column = pa.array([], column.type)
                if column.type != field.type and pa.types.is_string(column.type):
                    column, refused = parsed(column, field.type)
                    if refused:
                        return None
                columns.append(column if column.type == field.type else column.cast(field.type))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _slow(self, lines: _Lines) -> pa.RecordBatch:
        rows, places = [], []
        for line, text, row in self._rows(lines):
            if row is None:
                self._refuse_row(lines, line, text)
            else:
                rows.append(row)
                places.append((line, text))
        columns: list[pa.Array] = []
        reasons: dict[int, list[str]] = {}
        for field in self.schema:
            if field.name in self._partition:
                columns.append(partition_values(self._what, lines.source, field, len(rows)))
                continue
            values, bad = column_of([row.get(field.name) for row in rows], field.type)
            columns.append(values)
            for index in bad:
                shown = json.dumps(rows[index][field.name], ensure_ascii=False, default=str)
                if len(shown) > 200:
                    shown = f"{shown[:200]}..."
                reasons.setdefault(index, []).append(bad_value(field.name, shown, type_name(field.type)))
                self.dirt.bad_values[field.name] = self.dirt.bad_values.get(field.name, 0) + 1
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if not reasons:
            return batch
        if self._options.on_bad_value == "fail":
            first = min(reasons)
            raise CorruptTableError(
                f"{self._what}: {lines.source.path}, line {places[first][0]}: column {'; '.join(reasons[first])}. "
                "Correct the file or the declared type, or set on_bad_value='null' or 'quarantine'."
            )
        self.dirt.rows_with_bad_values += len(reasons)
        if self._options.on_bad_value == "null":
            return batch
        for index, why in reasons.items():
            line, text = places[index]
            self.dirt.keep(BadRow(lines.source.name, line, text, "; ".join(why)))
        return batch.filter(pa.array([index not in reasons for index in range(batch.num_rows)]))

    def _refuse_row(self, lines: _Lines, line: int, text: str) -> None:
        try:
            found = loads(text)
            reason = f"holds {json.dumps(found, default=str)[:80]}, which is no object"
        except ValueError as error:
            reason = f"is no json object: {error}"
        if self._options.on_bad_row == "fail":
            raise self._no_json(lines.source, line, reason)
        self.dirt.bad_rows += 1
        if self._options.on_bad_row == "quarantine":
            self.dirt.keep(BadRow(lines.source.name, line, text, f"the line {reason}"))

    def _no_json(self, source: Source, line: int, reason: str) -> CorruptTableError:
        return CorruptTableError(
            f"{self._what}: {source.path}, line {line} {reason}. Json is read as one object a line (JSON lines), or as "
            "one array of objects. Correct the file, or set on_bad_row='skip' or 'quarantine'."
        )


def _parse(data: bytes, explicit: dict[str, pa.DataType]) -> pa.Table | None:
    try:
        return pa.json.read_json(
            pa.BufferReader(data),
            read_options=pa.json.ReadOptions(block_size=len(data) + 1),
            parse_options=pa.json.ParseOptions(explicit_schema=pa.schema(list(explicit.items())) if explicit else None),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _parseable(kind: pa.DataType) -> pa.DataType | None:
    """What pyarrow is to parse a declared type as; None where only Python does it without loss."""
    t = pa.types
    if t.is_temporal(kind) or t.is_binary(kind):
        return pa.string()
    if t.is_decimal(kind) or t.is_map(kind):
        return None
    if t.is_list(kind):
        item = _parseable(kind.value_type)
        return kind if item is not None and item == kind.value_type else None
    if t.is_struct(kind):
        return kind if all(_parseable(field.type) == field.type for field in kind) else None
    return kind


def _texts(kind: pa.DataType) -> pa.DataType:
    """The same with texts in place of what pyarrow took for timestamps."""
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_texts(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _texts(field.type)) for field in kind])
    return kind


def _cautious(kind: pa.DataType) -> pa.DataType:
    return with_leaves(kind, lambda leaf: LARGE if pa.types.is_integer(leaf) else leaf)
