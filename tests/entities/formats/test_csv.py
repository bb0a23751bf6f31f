"""Csv sources: the very texts of a file, or an error with file and line."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling_entities.declare.checks import check_declaration
from kindling_entities.declare.entity import EntityDefinition
from kindling_entities.errors import CorruptTableError, EntityDefinitionError, SchemaError
from kindling_entities.formats import Reading, TextOptions, _csv, _records, read_files
from kindling_entities.formats._bytes import chunks
from kindling_entities.formats._quotes import end_of_records
from kindling_entities.providers.built_in import built_in


def reading(where: Path, columns: dict[str, str] | None = None, **options: Any) -> Reading:
    paths = [str(where)] if where.is_file() else sorted(str(path) for path in where.rglob("*") if path.is_file())
    return read_files("Entity 'raw.t'", "csv", str(where), paths, columns, TextOptions.of(options))


def rows(where: Path, columns: dict[str, str] | None = None, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = reading(where, columns, **options).reader().read_all().to_pylist()
    return found


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


FIELDS = st.lists(st.sampled_from(["a", "1", ",", '"', "\n", "\r\n", "\r", "ü", " ", "\0"]), max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(FIELDS, min_size=3, max_size=3), min_size=1, max_size=8),
    st.integers(1, 40),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_blocks_of_any_size_give_the_rows_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], size: int, newline: str, end: bool, atomic: bool
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b", "c"], *table])
    text = out.getvalue() if end else out.getvalue().removesuffix(newline)
    path = write(tmp_path_factory.mktemp("csv") / "t.csv", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_csv, "chunks", lambda what, path, options, **_: chunks(what, path, options, size))
        # Python 3.10 has no possessive quantifiers.
        patch.setattr(_records, "_POSSESSIVE", atomic and sys.version_info >= (3, 11))
        assert [list(row.values()) for row in rows(path)] == table


def test_a_line_end_within_quotes_stays_whole_at_the_edge_of_a_block(tmp_path: Path) -> None:
    filling = "x" * (8 * 1024 * 1024 - 10)
    path = write(tmp_path / "t.csv", f'a,b\r\n{filling},"1\r\n2"\r\n3,4\r\n')
    assert [row["b"] for row in rows(path)] == ["1\r\n2", "4"]


@pytest.mark.parametrize("text", ['a,b\n1,"x\n2,y\n3,z\n', 'a,b\n1,"x\n2,"y"\n3,z\n'])
def test_a_quote_that_is_missing_swallows_no_rows(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(CorruptTableError, match=r"t\.csv, line 2: .*quote"):
        rows(path)
    found = reading(path, on_bad_row="skip")
    assert [row["a"] for row in found.reader().read_all().to_pylist()] == ["2", "3"]
    assert found.dirt.bad_rows == 1


def test_a_record_without_end_is_refused_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_records, "LONGEST_RECORD_BYTES", 1000)
    monkeypatch.setattr(_csv, "chunks", lambda what, path, options, **_: chunks(what, path, options, 100))
    path = write(tmp_path / "t.csv", 'a,b\n1,"' + "x\n" * 5000)
    with pytest.raises(CorruptTableError, match="line 2: a quoted field begins here and does not end"):
        rows(path)


@settings(max_examples=1000, deadline=None)
@given(st.text('a,"\r\n', max_size=16), st.booleans(), st.integers(0, 2))
def test_quotes_seen_at_once_end_records_where_the_grammar_does(text: str, final: bool, start: int) -> None:
    data = b",\n"[2 - start :] + text.encode()
    found = end_of_records(data, start, b'"', b",", final)
    if found is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_records, "end_of_records", lambda *given: None)
        grammar = _records.Grammar(TextOptions())
        assert grammar.end(data[:found], start, True) == found
        # What is left may hold whole records, for the next look.
        assert found == len(data) if final else data[found - 1 : found] == b"\n"


def test_a_block_without_quotes_is_parsed_in_parts_as_it_is_in_one(tmp_path: Path) -> None:
    lines = [f"{number},{'x' * (number % 50)}" for number in range(100_000)]
    path = write(tmp_path / "t.csv", "\r\n".join(["a,b", *lines]))
    found = reading(path).reader().read_all()
    assert found["a"].to_pylist() == [str(number) for number in range(100_000)]
    assert found["b"].to_pylist() == ["x" * (number % 50) or None for number in range(100_000)]
    # A row that is longer than a part, and rows that are refused with their lines.
    lines[70_000] = f"long,{'y' * (3 << 20)}"
    assert reading(write(path, "\r\n".join(["a,b", *lines]))).reader().read_all()["b"][70_000].as_py() == "y" * (
        3 << 20
    )
    lines[40_000], lines[90_000] = "one", "one,two,three"
    bad = reading(write(path, "\r\n".join(["a,b", *lines])), on_bad_row="quarantine")
    assert bad.reader().read_all().num_rows == 99_998
    table = bad.dirt.table()
    assert sorted(zip(table["line"].to_pylist(), table["raw"].to_pylist(), strict=True)) == [
        (40_002, "one"),
        (90_002, "one,two,three"),
    ]


def test_a_quote_within_a_field_is_text(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'a,b\n5" disk,"6"" disk"\n')
    assert rows(path) == [{"a": '5" disk', "b": '6" disk'}]


def test_an_escape_character_takes_the_next_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'a,b\n"x\\"y",p\\,q\n\\"z,2\n')
    assert [list(row.values()) for row in rows(path, escape="\\")] == [['x"y', "p,q"], ['"z', "2"]]


def test_texts_stay_what_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'id,q,n,d\n00123,"007",12345678901234567890,2024-01-01\n1.50,+5,,true\n')
    assert [list(row.values()) for row in rows(path)] == [
        ["00123", "007", "12345678901234567890", "2024-01-01"],
        ["1.50", "+5", None, "true"],
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", "0"], "int64"),
        (["00123", "1"], "string"),
        (["+1"], "string"),
        (["-0"], "string"),
        (["9223372036854775807"], "int64"),
        (["9223372036854775808", "1"], "decimal128(38, 0)"),
        (["1" * 39], "string"),
        (["1.50", "20.25"], "decimal128(18, 2)"),
        (["1.5", "2.25"], "string"),
        (["1", "1.5"], "string"),
        (["-0.0"], "string"),
        (["1e5"], "string"),
        (["0x1F"], "string"),
        (["true", "false"], "bool"),
        (["True"], "string"),
        (["2024-02-29", "0001-01-01"], "date32[day]"),
        (["2024-02-30"], "string"),
        (["2024-1-1"], "string"),
        (["2024-01-01 00:00:00"], "string"),
        ([""], "string"),
    ],
)
def test_a_type_is_inferred_only_if_every_value_prints_back(tmp_path: Path, values: list[str], kind: str) -> None:
    path = write(tmp_path / "t.csv", "k,v\n" + "".join(f"x,{value}\n" for value in values))
    found = reading(path, infer_types=True)
    assert str(found.schema.field("v").type) == kind
    printed = found.reader().read_all()["v"].cast(pa.string()).to_pylist()
    assert printed == [value or None for value in values]


def test_types_are_inferred_over_all_files(tmp_path: Path) -> None:
    write(tmp_path / "in" / "1.csv", "v\n1\n")
    write(tmp_path / "in" / "2.csv", "v\n1.5\n")
    assert [row["v"] for row in rows(tmp_path / "in", infer_types=True)] == ["1", "1.5"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bigint", "1.0"),
        ("bigint", "0x1F"),
        ("bigint", "9223372036854775808"),
        ("tinyint", "128"),
        ("double", "1e400"),
        ("float", "1e39"),
        ("double", "abc"),
        ("decimal(4,2)", "1.234"),
        ("decimal(4,2)", "123"),
        ("boolean", "yes"),
        ("date", "2024-02-30"),
        ("date", "01.02.2024"),
        ("timestamp", "2024-01-01 25:00:00"),
        ("timestamp", "2024-01-01T00:00:00.1234567"),
        ("timestamp_ntz", "2024-01-01T00:00:00Z"),
        ("binary", "not base64!"),
    ],
)
def test_a_value_that_does_not_parse_is_told_with_file_line_and_column(tmp_path: Path, kind: str, value: str) -> None:
    path = write(tmp_path / "t.csv", f'k,v\n"two\nlines",\n\nx,{value}\n')
    with pytest.raises(CorruptTableError) as error:
        rows(path, {"v": kind})
    for part in ("t.csv, line 5", "column 'v'", repr(value), kind):
        assert part in str(error.value)


def test_numbers_may_have_spaces_a_plus_and_quoted_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'n,d\n 1 ,"+2.5"\n"",NA\n"NA",""\n007,0x\n')
    with pytest.raises(CorruptTableError, match="line 5"):
        rows(path, {"n": "bigint", "d": "double"}, null_values=["NA"])
    found = rows(path, {"n": "bigint", "d": "double"}, null_values=["NA"], on_bad_value="null")
    assert [list(row.values()) for row in found] == [[1, 2.5], [None, None], [None, None], [7, None]]


def test_an_encoding_that_is_not_declared_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n1,x\n2,Zürich\n".encode("latin-1"))
    with pytest.raises(CorruptTableError, match=r"t\.csv, line 3, byte 4 .*Set encoding="):
        rows(path)
    assert rows(path, encoding="latin-1")[1]["b"] == "Zürich"
    with pytest.raises(CorruptTableError, match="is not written in ascii|line 3"):
        rows(path, encoding="ascii")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32"])
def test_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "t.csv", "a,ü\r\n1,€\r\n".encode(encoding))
    assert rows(path, encoding=encoding) == [{"a": "1", "ü": "€"}]


def test_headers_that_differ_are_told_with_both_files(tmp_path: Path) -> None:
    write(tmp_path / "in" / "1.csv", "id,name\n1,x\n")
    write(tmp_path / "in" / "2.csv", "2,y\n3,z\n")
    with pytest.raises(SchemaError, match=r"2\.csv lacks 'id', 'name' and has '2', 'y'; .*1\.csv"):
        rows(tmp_path / "in")
    write(tmp_path / "in" / "2.csv", "name,id,more\ny,2,m\n")
    with pytest.raises(SchemaError, match="missing_columns='null'"):
        rows(tmp_path / "in")
    assert rows(tmp_path / "in", missing_columns="null") == [
        {"id": "1", "name": "x", "more": None},
        {"id": "2", "name": "y", "more": "m"},
    ]


def test_an_empty_file_of_a_folder_is_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "in" / "0.csv", "")
    write(tmp_path / "in" / "1.csv", "a\n1\n")
    write(tmp_path / "in" / "2.csv", "a\n")
    assert rows(tmp_path / "in") == [{"a": "1"}]


def test_a_header_alone_is_no_rows_of_text(tmp_path: Path) -> None:
    found = reading(write(tmp_path / "t.csv", "a,b\n"))
    assert found.schema == pa.schema([("a", pa.string()), ("b", pa.string())])
    assert found.reader().read_all().num_rows == 0


def test_a_declared_column_that_is_missing_is_told_with_near_matches(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "order_id,amount\n1,2\n")
    with pytest.raises(SchemaError, match=r"'amuont' missing in the header of .*t\.csv.*amount"):
        rows(path, {"amuont": "double"})


def test_a_header_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"t\.csv names 'a' more than once"):
        rows(write(tmp_path / "t.csv", "a,a\n1,2\n"))


def test_an_empty_line_is_a_null_where_a_row_is_one_field(tmp_path: Path) -> None:
    assert [row["a"] for row in rows(write(tmp_path / "t.csv", 'a\n1\n\n""\n'))] == ["1", None, ""]
    assert len(rows(write(tmp_path / "t.csv", "a,b\n1,2\n\n3,4\n\n"))) == 2


def test_folders_are_columns(tmp_path: Path) -> None:
    write(tmp_path / "in" / "day=2024-05-01" / "k=a%2Fb" / "1.csv", "v\n1\n")
    write(tmp_path / "in" / "day=2024-05-02" / "k=__HIVE_DEFAULT_PARTITION__" / "1.csv", "v\n2\n3\n")
    assert rows(tmp_path / "in") == [
        {"v": "1", "day": "2024-05-01", "k": "a/b"},
        {"v": "2", "day": "2024-05-02", "k": None},
        {"v": "3", "day": "2024-05-02", "k": None},
    ]
    assert str(reading(tmp_path / "in", {"day": "date"}).schema.field("day").type) == "date32[day]"
    assert str(reading(tmp_path / "in", infer_types=True).schema.field("day").type) == "date32[day]"
    with pytest.raises(SchemaError, match="'day' is '2024-05-01', which is not an int"):
        rows(tmp_path / "in", {"day": "int"})
    write(tmp_path / "in" / "stray.csv", "v\n4\n")
    with pytest.raises(SchemaError, match=r"stray\.csv lies in folders of the columns no columns"):
        rows(tmp_path / "in")


def test_bad_rows_and_values_are_counted_and_kept_with_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'id,n\n1,10\n2\n3,x,y\n4,abc\n"5\n",7\n6,8\n')
    found = reading(path, {"n": "int"}, on_bad_row="quarantine", on_bad_value="quarantine")
    assert [row["id"] for row in found.reader().read_all().to_pylist()] == ["1", "5\n", "6"]
    table = found.dirt.table()
    assert sorted(
        zip(table["line"].to_pylist(), table["raw"].to_pylist(), table["_quarantine_reason"].to_pylist(), strict=True)
    ) == [
        (3, "2", "1 field in place of 2"),
        (4, "3,x,y", "3 fields in place of 2"),
        (5, "4,abc", "'n': 'abc' is not an int"),
    ]
    assert [(one.name, one.rows_passed, one.rows_failed) for one in found.dirt.results()] == [
        ("rows parse", 4, 2),
        ("values parse", 3, 1),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_bad_row": "drop"}, "on_bad_row is 'drop', not one of 'fail', 'skip', 'quarantine'"),
        ({"on_bad_value": "skip"}, "on_bad_value is 'skip', not one of 'fail', 'null', 'quarantine'"),
        ({"delimiter": "||"}, "delimiter is '||'; it must be one ASCII character"),
        ({"quote": ","}, "delimiter, quote and escape must differ"),
        ({"encoding": "latin-99"}, "encoding is 'latin-99', which Python does not know"),
        ({"infer_types": "yes"}, "infer_types is 'yes'"),
    ],
)
def test_options_that_cannot_be_used_are_refused_when_the_job_is_composed(options: dict[str, Any], said: str) -> None:
    entity = EntityDefinition("raw.t", provider="csv", path="t.csv", read_only=True, options=options)
    with pytest.raises(EntityDefinitionError) as error:
        check_declaration(entity, built_in())
    assert said in str(error.value)


MODULE = """
from kindling_entities import Entities

entities = Entities()
entities.source("raw.t", path="in.csv")
"""
JOB = """
[job]
name = "t"
modules = ["job_of_columns"]
features = ["entities"]
"""


def test_the_command_prints_columns_to_paste(tmp_path: Path) -> None:
    write(tmp_path / "in.csv", "id,code,price\n1,007,1.50\n2,01,2.25\n")
    write(tmp_path / "job_of_columns.py", MODULE)
    write(tmp_path / "kindling.toml", JOB)
    command = [sys.executable, "-m", "kindling_core", "columns", "raw.t"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == 'columns={"id": "bigint", "code": "string", "price": "decimal(18,2)"},\n'
