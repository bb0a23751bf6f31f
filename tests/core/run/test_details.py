"""What a write has to say is in the signal of its pipe: as JSON carries it, bounded, and without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kindling_core import BlinkerSignalProvider, DataPipesExecuter, DataPipesRegistry, WriteResult
from kindling_core.plain_values import LONGEST_TEXT
from kindling_core.run.hooks import RunHooks

SECRET = "hunter2hunter2"


def test_notes_and_details_are_sent_plain_bounded_and_without_secrets() -> None:
    registry, signals, heard = DataPipesRegistry(), BlinkerSignalProvider(), dict[str, Any]()
    registry.pipe("a", output="t.a")(lambda: "rows")
    details = {
        "url": Path("x") / SECRET,
        "cut": "x" * (LONGEST_TEXT - 5) + SECRET,
        "long": "y" * 100_000 + SECRET,
        "n": {"kept": 2},
    }
    executer = DataPipesExecuter(
        registry,
        write_entity=lambda entity_id, value, pipe: WriteResult(1, note=f"by {SECRET}", details=details),
        signal_provider=signals,
        hooks=RunHooks(redact=lambda text: text.replace(SECRET, "***")),
    )
    signals.create_signal("datapipes.after_pipe").connect(lambda sender, **fields: heard.update(fields))
    report = executer.run_datapipes(["a"])
    assert heard["note"] == "by ***"
    assert heard["details"]["url"] == "x/***"
    assert SECRET[:4] not in str(heard)
    assert heard["details"]["n"] == {"kept": 2}
    assert len(json.dumps(heard["details"])) < 20_000
    assert report.pipe("a").note == "by ***"
    assert SECRET not in str(report.to_dict())


def test_the_report_of_a_skipped_pipe_shows_no_secret() -> None:
    registry = DataPipesRegistry()
    registry.pipe("a")(lambda: None)
    executer = DataPipesExecuter(
        registry,
        hooks=RunHooks(
            before_pipe=lambda pipe, run: f"no access with {SECRET}",
            redact=lambda text: text.replace(SECRET, "***"),
        ),
    )
    assert executer.run_datapipes(["a"]).pipe("a").reason == "no access with ***"
