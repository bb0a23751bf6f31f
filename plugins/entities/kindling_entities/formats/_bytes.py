"""Bytes of a text file as UTF-8, whatever packs or encodes it, a chunk at a time."""

from __future__ import annotations

import codecs
import contextlib
import zipfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from kindling_entities.errors import CorruptTableError, EntityNotFoundError
from kindling_entities.formats._options import TextOptions

CHUNK_BYTES = 8 * 1024 * 1024
_UTF_8 = ("utf-8", "ascii", "utf-8-sig")


@contextlib.contextmanager
def _opened(what: str, path: str, member: str | None) -> Iterator[Any]:
    if path.endswith(".zip"):
        with zipfile.ZipFile(path) as archive, archive.open(_member(what, archive, path, member)) as packed:
            yield packed
        return
    # Arrow recognises .gz, .bz2 and .zst by the name.
    with pa.input_stream(path) as stream:
        yield stream


def _member(what: str, archive: zipfile.ZipFile, path: str, wanted: str | None) -> str:
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is not None and wanted in names:
        return wanted
    raise EntityNotFoundError(
        f"{what}: {path} holds {', '.join(names) or 'nothing'}"
        f"{'' if wanted is None else f', not {wanted!r}'}. Name one with member=..."
    )


def chunks(what: str, path: str, options: TextOptions, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield a file's text as UTF-8 without a byte order mark. Other encodings are checked here, UTF-8 by the reader.

    Raises:
        CorruptTableError: the file is not in its encoding, or its archive is damaged.
    """
    plain = codecs.lookup(options.encoding).name in _UTF_8
    decoder = None if plain else codecs.getincrementaldecoder(options.encoding)("strict")
    line, first = 1, True
    try:
        with _opened(what, path, options.member) as stream:
            while data := stream.read(size):
                if decoder is not None:
                    data = decoder.decode(data).encode("utf-8")
                    line += data.count(b"\n")
                if first and data:
                    first, data = False, data.removeprefix(codecs.BOM_UTF8)
                if data:
                    yield data
            if decoder is not None and (rest := decoder.decode(b"", True)):
                yield rest.encode("utf-8")
    except UnicodeError as error:
        raise CorruptTableError(
            f"{what}: {path} is not written in {options.encoding}: {error}, after line {line}. "
            "Set encoding=... to the encoding that it has."
        ) from None
    except (zipfile.BadZipFile, EOFError) as error:
        raise _damaged(what, path, error) from error
    except OSError as error:
        # Arrow has no class of its own for a damaged archive; errors of the file system carry a number.
        if error.errno is not None:
            raise
        raise _damaged(what, path, error) from error


def _damaged(what: str, path: str, error: Exception) -> CorruptTableError:
    return CorruptTableError(f"{what}: {path} cannot be unpacked: {error}. Fetch it again, or move it away.")


def count_lines(data: bytes, end: int | None = None) -> int:
    """Count the ends of lines before a position; files of old Macs end them with a carriage return alone."""
    stop = len(data) if end is None else end
    found = data.count(b"\n", 0, stop)
    return found if found or b"\n" in data else data.count(b"\r", 0, stop)


def refuse_other_encoding(what: str, path: str, data: bytes, line: int) -> None:
    """Raise if bytes are not UTF-8.

    Args:
        line: on which the bytes begin.

    Raises:
        CorruptTableError: names file, line and the bytes.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        begin = max(data.rfind(b"\n", 0, error.start), data.rfind(b"\r", 0, error.start)) + 1
        near = data[begin : error.start + 1][-40:]
        raise CorruptTableError(
            f"{what}: {path}, line {line + count_lines(data, error.start)}, byte {error.start - begin + 1} of the line "
            f"({near!r}) is not UTF-8. "
            "Set encoding=... to the encoding that the file has, such as 'latin-1' or 'cp1252'."
        ) from None
