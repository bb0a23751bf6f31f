"""The csv files of a source as a table: headers, folders, types, and what does not parse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from kindling_core.errors import did_you_mean
from kindling_entities.declare.types import type_name
from kindling_entities.errors import CorruptTableError, SchemaError
from kindling_entities.formats._csv import CsvFile, Source, TextBatch
from kindling_entities.formats._dirt import BadRow, Dirt, bad_value, with_article
from kindling_entities.formats._infer import Column
from kindling_entities.formats._options import TextOptions
from kindling_entities.formats._values import parsed

# Texts up to this size are kept while types are found, so that the files are read once.
_KEPT_BYTES = 256 * 1024 * 1024


class CsvFiles:
    """The csv files of a source.

    Attributes:
        schema: file columns in their order, then columns of the folders.
        dirt: counts, complete when all batches were taken.
    """

    def __init__(
        self, what: str, sources: Sequence[Source], declared: pa.Schema, options: TextOptions, dirt: Dirt
    ) -> None:
        self.dirt = dirt
        self._what = what
        self._options = options
        self._declared = declared
        self._kept: list[tuple[CsvFile, TextBatch]] | None = None
        self._partition = list(sources[0].partition)
        own = [name for name in declared.names if name not in self._partition]
        self._files = [CsvFile(what, source, options, own, dirt) for source in sources]
        full = [file for file in self._files if not file.empty]
        if not full and not declared.names:
            raise CorruptTableError(
                f"{what}: {sources[0].path} is empty and no columns are declared. Declare columns=..."
            )
        self._names = list(dict.fromkeys(name for file in full for name in file.columns)) if full else own
        self._partition = [name for name in self._partition if name not in self._names]
        self._check_columns(full)
        self.schema = self._schema()

    def _check_columns(self, files: Sequence[CsvFile]) -> None:
        known = [*self._names, *self._partition]
        missing = [name for name in self._declared.names if name not in known]
        if missing:
            raise SchemaError(
                f"{self._what}: declared column(s) {', '.join(map(repr, missing))} missing in the header of "
                f"{files[0].source.path if files else 'every file'}, which has {', '.join(map(repr, known))}."
                f"{did_you_mean(missing[0], known)}"
            )
        if self._options.missing_columns == "null":
            return
        for file in files[1:]:
            if set(file.columns) != set(files[0].columns):
                lacks = [name for name in self._names if name not in file.columns]
                adds = [name for name in file.columns if name not in files[0].columns]
                differences = [f"lacks {', '.join(map(repr, lacks))}"] if lacks else []
                differences += [f"has {', '.join(map(repr, adds))}"] if adds else []
                raise SchemaError(
                    f"{self._what}: the headers of its files differ: {file.source.path} {' and '.join(differences)}; "
                    f"{files[0].source.path} has {', '.join(map(repr, files[0].columns))}. If a file has no header, "
                    "add one. If columns came later, set missing_columns='null'."
                )

    def _schema(self) -> pa.Schema:
        declared = {field.name: field.type for field in self._declared}
        names = [*self._names, *self._partition]
        if not self._options.infer_types:
            return pa.schema([(name, declared.get(name, pa.string())) for name in names])
        found = self._infer([name for name in names if name not in declared])
        return pa.schema([(name, declared.get(name) or found[name]) for name in names])

    def _infer(self, names: Sequence[str]) -> dict[str, pa.DataType]:
        columns = {name: Column() for name in names}
        kept: list[tuple[CsvFile, TextBatch]] | None = []
        size = 0
        for file in self._files:
            for name in self._partition:
                if name in columns:
                    columns[name].see(pa.array([file.source.partition[name]], pa.string()))
            for texts in file.batches():
                size += texts.batch.nbytes
                if kept is not None:
                    kept.append((file, texts))
                    if size > _KEPT_BYTES:
                        kept = None
                for name in file.columns:
                    if name in columns:
                        columns[name].see(texts.batch.column(name))
        self._kept = kept
        if kept is None:
            # They will be read, and counted, again.
            self.dirt.forget()
        return {name: column.type() for name, column in columns.items()}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows in the types of the schema.

        Raises:
            CorruptTableError: a row or a value does not parse, and the source does not take that.
        """
        kept, self._kept = self._kept, None
        pieces = iter(kept) if kept is not None else ((file, texts) for file in self._files for texts in file.batches())
        for file, texts in pieces:
            batch = self._typed(file, texts)
            self.dirt.rows_read += batch.num_rows
            yield batch

    def _typed(self, file: CsvFile, texts: TextBatch) -> pa.RecordBatch:
        rows = texts.batch.num_rows
        columns, bad = [], {}
        for field in self.schema:
            if field.name in file.columns:
                hexadecimal = pa.types.is_integer(field.type) and texts.hexadecimal
                values, refused = parsed(
                    texts.batch.column(field.name), field.type, self._options.null_values, hexadecimal
                )
                if refused:
                    bad[field.name] = refused
            elif field.name in file.source.partition:
                values = self._repeated(file, field, rows)
            else:
                values = pa.nulls(rows, field.type)
            columns.append(values)
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        return self._without_bad(file, texts, batch, bad) if bad else batch

    def _repeated(self, file: CsvFile, field: pa.Field, rows: int) -> pa.Array:
        return partition_values(self._what, file.source, field, rows)

    def _without_bad(
        self, file: CsvFile, texts: TextBatch, batch: pa.RecordBatch, bad: dict[str, list[int]]
    ) -> pa.RecordBatch:
        """Deal with values that do not parse, as the source says. They are null in the batch."""
        reasons: dict[int, list[str]] = {}
        for name, indices in bad.items():
            column, kind = texts.batch.column(name), type_name(self.schema.field(name).type)
            for index in indices:
                reasons.setdefault(index, []).append(bad_value(name, repr(column[index].as_py()), kind))
        if self._options.on_bad_value == "fail":
            first = min(reasons)
            line, _ = texts.places([first])[first]
            raise CorruptTableError(
                f"{self._what}: {file.source.path}, line {line}: column {'; '.join(reasons[first])}. Correct the file "
                "or the declared type, or set on_bad_value='null' or 'quarantine'."
            )
        for name, indices in bad.items():
            self.dirt.bad_values[name] = self.dirt.bad_values.get(name, 0) + len(indices)
        self.dirt.rows_with_bad_values += len(reasons)
        if self._options.on_bad_value == "null":
            return batch
        for index, (line, text) in texts.places(list(reasons)).items():
            self.dirt.keep(BadRow(file.source.name, line, text, "; ".join(reasons[index])))
        return batch.filter(pa.array([index not in reasons for index in range(batch.num_rows)]))


def partition_values(what: str, source: Source, field: pa.Field, rows: int) -> pa.Array:
    """The value of a folder as a column.

    Raises:
        SchemaError: it does not parse as the declared type.
    """
    text = source.partition[field.name]
    values, refused = parsed(pa.array([text], pa.string()), field.type)
    if refused:
        raise SchemaError(
            f"{what}: {source.path} lies in a folder whose {field.name!r} is {text!r}, which is not "
            f"{with_article(type_name(field.type))}. Rename the folder, or declare another type."
        )
    return values.take(pa.array([0] * rows, pa.int32())) if rows else values.slice(0, 0)
