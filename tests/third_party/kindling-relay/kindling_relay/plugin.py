"""The plugin's class, named by the entry point ``relay`` in the group ``kindling``."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from kindling_core import Fence, PipeDefinitionError, PipeMetadata, RunInfo, Section, hookimpl
from kindling_core.state import StateStore
from kindling_entities import EntityProvider

if TYPE_CHECKING:
    from kindling_core import App

SPACE = "relay"


class RelaySection(Section):
    """``[relay]``.

    Attributes:
        poll_seconds: how often a stream looks for a new version of its input.
    """

    poll_seconds: float = 0.2


class RelayPlugin:
    """Features of a job that lists ``relay``."""

    requires = ("entities", "state")

    def __init__(self) -> None:
        self._app: App | None = None

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[Section]]:
        return {"relay": RelaySection}

    @hookimpl
    def kindling_run_options(self) -> Iterable[click.Option]:
        return [
            click.Option(["--batches"], type=click.IntRange(1), help="End each stream after so many micro-batches.")
        ]

    @hookimpl
    def kindling_check_pipe(self, pipe: PipeMetadata) -> None:
        if pipe.mode == "streaming" and len(pipe.input_entity_ids) != 1:
            raise PipeDefinitionError(f"Pipe {pipe.pipe_id!r}: a relayed stream has one input. Give inputs=['...'].")

    @hookimpl
    def kindling_start(self, app: App) -> None:
        self._app = app

    @hookimpl
    def kindling_start_stream(self, pipe: PipeMetadata, run: RunInfo, fence: Fence) -> Relay:
        assert self._app is not None
        batches = run.options.get("batches")
        relay = Relay(self._app, pipe, run, batches if isinstance(batches, int) else None)
        relay.start()
        return relay


class Relay:
    """The stream of one pipe: micro-batches on a thread of its own. Implements ``StreamHandle``.

    What a micro-batch reads is written down before it runs, and that it is done afterwards. One that was killed between
    the two is repeated with the same versions and the same transaction id, so that its table gets it once.
    """

    def __init__(self, app: App, pipe: PipeMetadata, run: RunInfo, batches: int | None) -> None:
        self.error: BaseException | None = None
        self._app = app
        self._pipe = pipe
        self._run = run
        self._left = batches
        self._source = pipe.input_entity_ids[0]
        self._store = app.service(StateStore)  # type: ignore[type-abstract]
        self._tables = app.service(EntityProvider)  # type: ignore[type-abstract]
        self._poll_seconds: float = app.config.section("relay").poll_seconds
        self._stopping = threading.Event()
        self._fence = Fence()
        self._thread = threading.Thread(target=self._work, name=f"relay {pipe.pipe_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def status(self) -> str:
        return "running" if self._thread.is_alive() else "failed" if self.error is not None else "stopped"

    def wait(self, timeout_seconds: float | None = None) -> bool:
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        self._stopping.set()
        self._fence.close()

    def _work(self) -> None:
        try:
            while not self._stopping.is_set() and self._left != 0:
                if self._next_batch():
                    self._left = None if self._left is None else self._left - 1
                else:
                    self._stopping.wait(self._poll_seconds)
        except Exception as error:  # noqa: BLE001 - told by the handle
            self.error = None if self._stopping.is_set() else error

    def _next_batch(self) -> bool:
        """Run the next micro-batch, if there is something new; return whether there was."""
        record = self._store.get(SPACE, self._pipe.pipe_id)
        state = dict(record.value) if record is not None else {"done": None, "until": None}
        version = record.version if record is not None else 0
        if state["until"] == state["done"]:
            newest = self._tables.get_entity_versions([self._source])[self._source]
            if not isinstance(newest, int) or newest == state["done"]:
                return False
            state["until"] = newest
            version = self._store.put(SPACE, self._pipe.pipe_id, state, expected=version)
        done, until = state["done"], state["until"]
        self._app.run_pipe(
            self._pipe,
            self._run,
            versions={self._source: until if done is None else (done, until)},
            fence=self._fence,
            transaction=(f"relay/{self._pipe.pipe_id}", until),
        )
        self._store.put(SPACE, self._pipe.pipe_id, {"done": until, "until": until}, expected=version)
        return True
