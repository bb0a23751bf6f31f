"""Writes docs/signal_quick_reference.md from the emitter classes: ``python tools/signal_reference.py``."""

from __future__ import annotations

from pathlib import Path

from kindling_core import App
from kindling_core.signals.catalogue import SignalEntry, catalogue

TARGET = Path(__file__).parents[1] / "docs" / "signal_quick_reference.md"


def entries() -> list[SignalEntry]:
    """Every signal of the packages of this repository."""
    return catalogue(App(features=["entities", "state", "watermark"], environ={}).emitters())


def reference() -> str:
    """The page's text."""
    lines = [
        "# Signal quick reference",
        "",
        "Made from the code by `python tools/signal_reference.py`; a test compares. Each payload also carries",
        "`operation_id` (a `before_x` and its `after_x` or `x_failed` share one) and `timestamp` (UTC, ISO 8601).",
    ]
    for entry in entries():
        lines += ["", f"## `{entry.name}`", "", f"{entry.doc} Sent by {', '.join(entry.emitters)}.", ""]
        lines += ["| field | type | meaning |", "|---|---|---|"]
        for field in entry.fields:
            if field.name not in ("operation_id", "timestamp"):
                kind = field.type.replace("|", "\\|")
                lines.append(f"| `{field.name}` | `{kind}` | {field.doc} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    print(f"Wrote {TARGET.name}")
