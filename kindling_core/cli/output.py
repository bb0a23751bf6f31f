"""What commands write: files, and text that a terminal may show."""

from __future__ import annotations

import re
from pathlib import Path

import click

# The control characters of C0 and C1 but for tab and line feed.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Show what would steer a terminal, such as escape sequences in the text of somebody's error."""
    return text if text.isprintable() else _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def write_file(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        click.ClickException: the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}.") from error


def row_count(rows: int | None) -> str:
    """Return rows for a report, nothing where their number is not known."""
    return "" if rows is None else f"  {rows:,} rows"
