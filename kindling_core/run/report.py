"""What a run did, pipe by pipe."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kindling_core.run.streams import OpenRun


@dataclass(slots=True)
class PipeReport:
    """How a pipe of a run ended.

    Attributes:
        status: "succeeded", "failed" or "skipped".
        rows: rows written; 0 where nothing was written, None where the engine does not know.
        started_seconds: from the start of the run; None for a pipe that never started.
        attempts: how often it was started.
        reason: why it was skipped.
        caused_by: the pipe whose failure had it skipped.
        allowed: it failed, and was allowed to.
        abandoned: it could not be stopped and was left behind.
        version_written: of its output table, where there are versions.
        versions_read: entity id -> table version, as far as they are known.
        ranges_read: entity id -> (start_version, version) of the inputs of which only the changes in between were read.
        generation: its place in the plan; None in a run without a graph.
        note: a line that the feature which wrote the output has to say.
        details: plain values of that feature, such as the counts of its expectations.
    """

    pipe_id: str
    name: str
    status: str
    rows: int | None = 0
    duration_seconds: float = 0.0
    started_seconds: float | None = None
    error: str | None = None
    error_type: str | None = None
    attempts: int = 0
    reason: str | None = None
    generation: int | None = None
    input_entity_ids: tuple[str, ...] = ()
    output_entity_id: str | None = None
    note: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    caused_by: str | None = None
    allowed: bool = False
    abandoned: bool = False
    version_written: int | None = None
    versions_read: dict[str, int] = field(default_factory=dict)
    ranges_read: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class RunReport:
    """How a run ended; printable.

    Attributes:
        status: "succeeded", "failed" or "cancelled"; "running" while its streams run, see ``open_run``.
        started_at: UTC, ISO 8601, with offset.
        pipes: in plan order.
        exceptions: pipe id -> what it raised; those that cannot be pickled are left behind by pickling.
        open_run: the run itself while its streams run: to look at them, to stop them, and to wait for its end.
    """

    run_id: str
    mode: str
    status: str
    started_at: str
    duration_seconds: float = 0.0
    pipes: list[PipeReport] = field(default_factory=list)
    exceptions: dict[str, BaseException] = field(default_factory=dict, repr=False, compare=False)
    open_run: OpenRun | None = field(default=None, repr=False, compare=False)

    def pipe(self, pipe_id: str) -> PipeReport:
        """Return the report of a pipe; KeyError if it was not in the run."""
        for report in self.pipes:
            if report.pipe_id == pipe_id:
                return report
        raise KeyError(pipe_id)

    def count(self, status: str) -> int:
        """Return how many pipes ended with this status."""
        return sum(report.status == status for report in self.pipes)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the exceptions as plain values that JSON can carry."""
        return {
            "run_id": self.run_id,
            "mode": self.mode,
            "status": self.status,
            "started_at": self.started_at,
            "duration_seconds": self.duration_seconds,
            "success_count": self.count("succeeded"),
            "failed_count": self.count("failed"),
            "skipped_count": self.count("skipped"),
            "pipes": [asdict(report) for report in self.pipes],
        }

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__, open_run=None)
        state["exceptions"] = {key: error for key, error in self.exceptions.items() if _survives_pickling(error)}
        return state

    def __str__(self) -> str:
        rows = [("pipe", "status", "rows", "seconds", "note")]
        for report in self.pipes:
            note = f"{report.error_type}: {report.error}" if report.error_type else report.reason or report.note or ""
            rows.append(
                (
                    report.pipe_id,
                    report.status,
                    "?" if report.rows is None else str(report.rows),
                    f"{report.duration_seconds:.3f}",
                    note.partition("\n")[0],
                )
            )
        counts = ", ".join(
            f"{self.count(status)} {status}" for status in ("succeeded", "failed", "skipped") if self.count(status)
        )
        head = f"Run {self.run_id} ({self.mode}) {self.status} in {self.duration_seconds:.2f} s"
        return "\n".join([f"{head}: {counts or 'no pipes'}", *_table(rows)])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = (2, 3)
    return [
        "  ".join(
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _survives_pickling(error: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - pickling runs whatever code the exception's class brings along
        return False
    return True
