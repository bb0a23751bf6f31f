"""Runs as the commands show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kindling_core.cli import CommandContext
from kindling_core.errors import ConfigError, PluginError
from kindling_core.state import AttemptRecord, RunRecord, StateStore
from kindling_core.state.resume import run_lease


def store_of(context: CommandContext) -> StateStore:
    """Return the store of the job, without starting its features: no engine is needed to look at runs."""
    app = context.app()
    try:
        return app.service(StateStore)  # type: ignore[type-abstract]
    except PluginError:
        raise ConfigError("This job keeps no runs. Add 'state' to the job's features.") from None


def statuses(store: StateStore, records: Sequence[RunRecord]) -> dict[str, str]:
    """Return run id -> what a run's end says; "died" for a run that has none and whose process is gone."""
    open_runs = {run_lease(record.start.run_id) for record in records if record.end is None}
    held = {lease.name for lease in store.holders(open_runs)} if open_runs else set()
    return {
        run_id: "died" if record.end is None and run_lease(run_id) not in held else record.status
        for run_id, record in ((record.start.run_id, record) for record in records)
    }


def data_of(record: RunRecord, status: str) -> dict[str, Any]:
    """Return a run as plain values."""
    start = record.start
    end = record.end
    return {
        "run_id": start.run_id,
        "job": start.job,
        "status": status,
        "mode": start.mode,
        "started_at": start.started_at,
        "duration_seconds": end.duration_seconds if end else None,
        "pipe_count": len(start.pipe_ids),
        "success_count": end.success_count if end else None,
        "failed_count": end.failed_count if end else None,
        "skipped_count": end.skipped_count if end else None,
        "resumes": start.resumes,
        "cancel_by": record.cancel.by if record.cancel else None,
        "cancel_at": record.cancel.at if record.cancel else None,
        "settled_by": record.settled_by,
        "root_run_id": start.root_run_id,
        "selection": list(start.selection),
        "overrides": list(start.overrides),
        "options": dict(start.options),
        "job_hash": start.job_hash,
        "pinned_versions": dict(start.pinned_versions),
        "error": end.error if end else None,
        "error_type": end.error_type if end else None,
    }


def attempts_of(store: StateStore, record: RunRecord, status: str) -> list[AttemptRecord]:
    """Return the attempts of a run; of a run that died, with what is exactly known: what it had marked as succeeded."""
    run_id = record.start.run_id
    attempts = store.attempts(run_id)
    if status != "died":
        return attempts
    marks = {
        name: success for name, success in store.succeeded(record.start.root_run_id).items() if success.run_id == run_id
    }
    last: dict[str, AttemptRecord] = {}
    found = [replace(attempt, status="died") if attempt.status == "running" else attempt for attempt in attempts]
    for attempt in found:
        last[attempt.pipe_id] = max(attempt, last.get(attempt.pipe_id, attempt), key=lambda each: each.attempt)
    for pipe_id, mark in marks.items():
        known = last.get(pipe_id)
        if known is not None and known.status == "succeeded":
            continue
        if known is not None and known.status == "died":
            found[found.index(known)] = replace(known, status="succeeded", version_written=mark.version_written)
        else:
            number = known.attempt + 1 if known is not None else 1
            found.append(AttemptRecord(run_id, pipe_id, number, "succeeded", version_written=mark.version_written))
    return found


def seconds(value: float | None) -> str:
    """Return seconds for a table."""
    return "" if value is None else f"{value:.2f}"
