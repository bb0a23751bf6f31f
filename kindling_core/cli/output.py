"""What commands write: files, and text that a terminal may show."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import click

from kindling_core.errors import text_of
from kindling_core.logs import say, written

# The control characters of C0 and C1 but for tab and line feed.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Show what would steer a terminal, such as escape sequences in the text of somebody's error."""
    return text if text.isprintable() else _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def print_at_the_end(what: str, render: Callable[[], None]) -> None:
    """Print what a run has to show; that it cannot be printed changes nothing about how the run ended.

    Args:
        what: its name for a message, such as "the report".
    """
    try:
        render()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has enough of it.
        discard_output()
    except Exception as error:  # noqa: BLE001 - a pipe may have closed the stream, or put another in its place
        discard_output()
        say(f"error: {what} cannot be printed: {type(error).__name__}: {text_of(error)}")


def discard_output() -> None:
    """Let what standard output could not take go nowhere: the interpreter writes it at its end, and would fail."""
    if sys.stdout is None or getattr(sys.stdout, "closed", False) or written(sys.stdout, ""):
        return
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError) as error:
        say(f"warning: standard output cannot be written: {error}")


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
