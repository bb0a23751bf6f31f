"""What a run shows while it goes on: a live display on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from kindling_core.app import App
from kindling_core.cli.output import printable, row_count
from kindling_core.clock import Clock
from kindling_core.logs import say


@contextmanager
def progress(app: App, messages: Console) -> Iterator[None]:
    watcher = _LiveProgress(messages, app.clock) if messages.is_terminal else _PlainProgress()
    for name in ("before_run", "before_pipe", "after_pipe", "pipe_retrying", "pipe_failed", "pipe_skipped"):
        app.signals.on(f"datapipes.{name}", getattr(watcher, name))
    with watcher:
        yield


class _PlainProgress:
    """A line for each pipe, for logs."""

    def __enter__(self) -> None:
        self._total = 0

    def __exit__(self, *error: object) -> None:
        return None

    def before_run(self, sender: object, *, pipe_count: int, **fields: Any) -> None:
        self._total = pipe_count

    def before_pipe(self, sender: object, **fields: Any) -> None:
        return None

    def after_pipe(self, sender: object, *, pipe_id: str, duration_seconds: float, **fields: Any) -> None:
        say(f"ok      {pipe_id}  {duration_seconds:.2f} s{row_count(fields['rows_processed'])}")

    def pipe_retrying(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        say(f"retry   {pipe_id}  {_again(fields)}: {_first_line(error)}")

    def pipe_failed(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        say(f"failed  {pipe_id}  {_first_line(error)}")

    def pipe_skipped(self, sender: object, *, pipe_id: str, reason: str, **fields: Any) -> None:
        say(f"skipped {pipe_id}  {_first_line(reason)}")


class _LiveProgress:
    """A bar for the run, and a line for each pipe that runs now.

    Args:
        clock: measures how long a pipe has run.
    """

    def __init__(self, messages: Console, clock: Clock) -> None:
        self._messages = messages
        self._clock = clock
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=messages,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._running: dict[str, float] = {}
        self._live = Live(console=messages, get_renderable=self._draw, refresh_per_second=8, transient=True)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def _draw(self) -> Table:
        drawn = Table.grid()
        drawn.add_row(self._bar)
        now = self._clock.now()
        for pipe_id, since in list(self._running.items()):
            drawn.add_row(f"    {pipe_id}  {now - since:.1f} s")
        return drawn

    def before_run(self, sender: object, *, pipe_count: int, **fields: Any) -> None:
        self._bar.update(self._task, total=pipe_count, description="running")

    def before_pipe(self, sender: object, *, pipe_id: str, **fields: Any) -> None:
        self._running[pipe_id] = self._clock.now()

    def _ended(self, pipe_id: str) -> None:
        self._running.pop(pipe_id, None)
        self._bar.advance(self._task)

    def after_pipe(self, sender: object, *, pipe_id: str, **fields: Any) -> None:
        self._ended(pipe_id)

    def pipe_retrying(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        self._messages.print(f"{pipe_id}: {_again(fields)}: {_first_line(error)}", markup=False, style="yellow")

    def pipe_failed(self, sender: object, *, pipe_id: str, error: str, **fields: Any) -> None:
        self._ended(pipe_id)
        self._messages.print(f"failed {pipe_id}: {_first_line(error)}", markup=False, style="red")

    def pipe_skipped(self, sender: object, *, pipe_id: str, **fields: Any) -> None:
        self._ended(pipe_id)


def _again(fields: Mapping[str, Any]) -> str:
    return f"attempt {fields['attempt']} of {fields['max_attempts']} failed, again in {fields['delay_seconds']:.1f} s"


def _first_line(text: str) -> str:
    return printable(text.strip().partition("\n")[0])
