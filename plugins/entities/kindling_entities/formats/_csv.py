"""Csv files as batches of texts that know the line of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import pyarrow as pa
import pyarrow.csv

from kindling_entities.errors import CorruptTableError, SchemaError
from kindling_entities.formats._bytes import chunks, count_lines, refuse_other_encoding
from kindling_entities.formats._dirt import BadRow, Dirt
from kindling_entities.formats._options import TextOptions
from kindling_entities.formats._records import Block, Broken, Grammar

# Bytes that Arrow parses on a single thread.
_PART_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Source:
    """A file of a source.

    Attributes:
        path: where it is.
        name: its path below the source's folder.
        partition: column -> value of the folders named ``column=value`` that it lies in.
    """

    path: str
    name: str
    partition: dict[str, str | None] = field(default_factory=dict)


class TextBatch:
    """Rows of a block of bytes as texts, with their positions in the file."""

    def __init__(self, batch: pa.RecordBatch, block: Block, grammar: Grammar, bad: Sequence[str]) -> None:
        self.batch = batch
        self._block = block
        self._grammar = grammar
        self._bad = bad

    @cached_property
    def hexadecimal(self) -> bool:
        """Whether a text may be hexadecimal, which Arrow takes for a number; looks through all of them."""
        return b"0x" in self._block.data or b"0X" in self._block.data

    def rows(self) -> Iterator[tuple[int, str, bool]]:
        """Yield line, text and whether it is in the batch, of each row of the block."""
        data, bad = self._block.data, iter(self._bad)
        # Arrow leaves out empty lines, except where a row has a single field.
        skips = self.batch.num_columns > 1
        wanted = next(bad, None)
        line, counted = self._block.line, 0
        for start, end in self._grammar.records(data):
            if start == end and skips:
                continue
            text = data[start:end].decode("utf-8")
            line, counted = line + data.count(b"\n", counted, start), start
            shown = line if b"\n" in data else self._block.line + count_lines(data, start)
            # The refused rows come in order, and a row that is taken shares no text with a row that is refused.
            refused = wanted is not None and text == wanted
            if refused:
                wanted = next(bad, None)
            yield shown, text, not refused

    def places(self, indices: Sequence[int]) -> dict[int, tuple[int, str]]:
        """Return line and text of rows of the batch."""
        wanted, found = set(indices), {}
        for index, (line, text, _) in enumerate(row for row in self.rows() if row[2]):
            if index in wanted:
                found[index] = (line, text)
        return found


class CsvFile:
    """A csv file whose columns are known, or are to be found."""

    def __init__(self, what: str, source: Source, options: TextOptions, names: Sequence[str], dirt: Dirt) -> None:
        self.source = source
        self._what = what
        self._options = options
        self._grammar = Grammar(options)
        self._dirt = dirt
        self._line = 1
        self.empty = False
        self.columns = self._find_columns(names)

    def _find_columns(self, declared: Sequence[str]) -> list[str]:
        """Read the header; without a header the declared columns are those of the file, else columns are numbered."""
        first = next(self._pieces(size=64 * 1024, skip_header=False), None)
        if first is None:
            self.empty = True
            return list(declared) if not self._options.header else []
        if not self._options.header and declared:
            return list(declared)
        if isinstance(first, Broken):
            raise self._bad(first.line, first.reason)
        start, end = next(iter(self._grammar.records(first.data)))
        refuse_other_encoding(self._what, self.source.path, first.data[start:end], first.line)
        fields = self._fields(first.data[start:end])
        if not self._options.header:
            return [f"f{index}" for index in range(len(fields))]
        twice = [name for name in dict.fromkeys(fields) if fields.count(name) > 1]
        if twice:
            raise SchemaError(
                f"{self._what}: the header of {self.source.path} names {', '.join(map(repr, twice))} more than once. "
                "Rename a column, or set header=False and skip_rows=1 and declare the columns."
            )
        return fields

    def _fields(self, data: bytes) -> list[str]:
        """Split a record into fields."""

        def read(kinds: dict[str, pa.DataType]) -> pa.Table:
            return pa.csv.read_csv(
                pa.BufferReader(data + b"\n"),
                pa.csv.ReadOptions(autogenerate_column_names=True, block_size=len(data) + 2),
                self._parse_options(),
                pa.csv.ConvertOptions(column_types=kinds),
            )

        names = read({}).column_names
        return [column[0].as_py() for column in read(dict.fromkeys(names, pa.string())).columns]

    def _parse_options(self, **more: object) -> pa.csv.ParseOptions:
        return pa.csv.ParseOptions(
            delimiter=self._options.delimiter,
            quote_char=self._options.quote or False,
            escape_char=self._options.escape or False,
            **{"newlines_in_values": True, **more},
        )

    def _pieces(self, size: int | None = None, skip_header: bool = True) -> Iterator[Block | Broken]:
        """Yield the blocks of the file, without the lines that are to be skipped, and without its header."""
        stream = chunks(self._what, self.source.path, self._options, **({} if size is None else {"size": size}))
        line = 1
        skip = self._options.skip_rows
        rest: Iterator[bytes] = stream
        while skip:
            chunk = next(rest, None)
            if chunk is None:
                return
            start = 0
            while skip and (end := chunk.find(b"\n", start)) >= 0:
                start, skip, line = end + 1, skip - 1, line + 1
            if not skip:
                rest = chain([chunk[start:]] if chunk[start:] else [], rest)
        header = skip_header and self._options.header
        for piece in self._grammar.cut(rest, line):
            if header and isinstance(piece, Block):
                header = False
                data = piece.data
                spans = self._grammar.records(data)
                begin = next((start for start, end in spans if end > start), None)
                if begin is None:
                    header = True
                    continue
                after = next(spans, (len(data), 0))[0]
                if after < len(data):
                    yield Block(data[after:], piece.line + count_lines(data, after))
                continue
            if not skip_header and isinstance(piece, Block):
                # Empty lines before the first row are none of its.
                stripped = piece.data.lstrip(b"\r\n")
                if not stripped:
                    continue
                gone = len(piece.data) - len(stripped)
                yield Block(stripped, piece.line + count_lines(piece.data, gone))
                continue
            yield piece

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[TextBatch]:
        """Yield the rows as texts; an empty field, and an unquoted null value, is null.

        Raises:
            CorruptTableError: a row has another number of fields, or is not UTF-8.
        """
        if self.empty:
            return
        for piece in self._pieces():
            if isinstance(piece, Broken):
                refuse_other_encoding(self._what, self.source.path, piece.data, piece.line)
                self._refuse(piece.line, piece.data.decode("utf-8").rstrip("\r\n"), piece.reason)
                continue
            yield self._parsed(piece)

    def _parsed(self, block: Block) -> TextBatch:
        bad: list[pa.csv.InvalidRow] = []

        def refuse(row: pa.csv.InvalidRow) -> str:
            bad.append(row)
            return "skip"

        try:
            table = self._parsed_in_parts(block)
            if table is None:
                table = self._table(block, refuse, block_size=len(block.data) + 1, newlines_in_values=True)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            refuse_other_encoding(self._what, self.source.path, block.data, block.line)
            raise CorruptTableError(
                f"{self._what}: {self.source.path}, from line {block.line}: {error}. Check delimiter and quote."
            ) from error
        merged = table.combine_chunks().to_batches()
        batch = merged[0] if merged else pa.RecordBatch.from_pylist([], schema=table.schema)
        made = TextBatch(batch, block, self._grammar, [row.text for row in bad])
        if bad:
            refused = (row for row in made.rows() if not row[2])
            for row, (line, text, _) in zip(bad, refused, strict=True):
                fields = f"{row.actual_columns} field{'' if row.actual_columns == 1 else 's'}"
                self._refuse(line, text, f"{fields} in place of {row.expected_columns}")
        return made

    def _parsed_in_parts(self, block: Block) -> pa.Table | None:
        """Parse a block without quotes, whose parts Arrow can parse at the same time; None if that cannot be done.

        A file of a single column cannot: Arrow may part a carriage return from its newline, and the empty line between
        them would be a row.
        """
        if len(self.columns) < 2 or len(block.data) < _PART_BYTES or not self._grammar.is_plain(block.data):
            return None
        bad: list[pa.csv.InvalidRow] = []

        def refuse(row: pa.csv.InvalidRow) -> str:
            bad.append(row)
            return "skip"

        try:
            table = self._table(block, refuse, block_size=_PART_BYTES, newlines_in_values=False)
        except pa.ArrowInvalid:
            # A line is longer than a part, or whatever the parse of the whole will say.
            return None
        # They come in no order here, and messages need their lines.
        return None if bad else table

    def _table(
        self,
        block: Block,
        refuse: Callable[[pa.csv.InvalidRow], str],
        *,
        block_size: int,
        newlines_in_values: bool,
    ) -> pa.Table:
        return pa.csv.read_csv(
            pa.BufferReader(block.data),
            pa.csv.ReadOptions(column_names=self.columns, block_size=block_size),
            self._parse_options(
                # In a file of a single column an empty line is a row whose field is empty.
                ignore_empty_lines=len(self.columns) > 1,
                invalid_row_handler=refuse,
                newlines_in_values=newlines_in_values,
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(self.columns, pa.string()),
                null_values=["", *self._options.null_values],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _refuse(self, line: int, text: str, reason: str) -> None:
        if self._options.on_bad_row == "fail":
            raise self._bad(line, reason)
        self._dirt.bad_rows += 1
        if self._options.on_bad_row == "quarantine":
            self._dirt.keep(BadRow(self.source.name, line, text, reason))

    def _bad(self, line: int, reason: str) -> CorruptTableError:
        return CorruptTableError(
            f"{self._what}: {self.source.path}, line {line}: {reason}. Correct the file, check delimiter and quote, or "
            "set on_bad_row='skip' or 'quarantine'."
        )
