"""What a write has to say is in the signal of its pipe: as JSON carries it, bounded, and without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kindling_core import BlinkerSignalProvider, DataPipesExecuter, DataPipesRegistry, WriteResult
from kindling_core.run.hooks import RunHooks

SECRET = "hunter2hunter2"


def test_notes_and_details_are_sent_plain_bounded_and_without_secrets() -> None:
    registry, signals, heard = DataPipesRegistry(), BlinkerSignalProvider(), dict[str, Any]()
    registry.pipe("a", output="t.a")(lambda: "rows")
    details = {"url": Path("x") / SECRET, "long": "y" * 100_000 + SECRET, "n": {"kept": 2}}
    executer = DataPipesExecuter(
        registry,
        write_entity=lambda entity_id, value, pipe: WriteResult(1, note=f"by {SECRET}", details=details),
        signal_provider=signals,
        hooks=RunHooks(redact=lambda text: text.replace(SECRET, "***")),
    )
    signals.create_signal("datapipes.after_pipe").connect(lambda sender, **fields: heard.update(fields))
    executer.run_datapipes(["a"])
    assert heard["note"] == "by ***"
    assert heard["details"]["url"] == "x/***"
    assert heard["details"]["n"] == {"kept": 2}
    assert len(json.dumps(heard["details"])) < 20_000
