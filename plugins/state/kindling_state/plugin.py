"""The feature ``state``: run history, resume and leases. Imports SQLAlchemy only where there is something to keep."""

from __future__ import annotations

import hashlib
import logging
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kindling_core.errors import ConfigError
from kindling_core.hooks import hookimpl
from kindling_core.run.requests import Continuation, RunInfo, WriteRequest, WriteResult
from kindling_core.state import RunStart, StateError, StateStore, Success
from kindling_core.state.dependencies import dependencies
from kindling_core.state.kept_options import kept_options, options_to_continue
from kindling_state.config import StateConfig, url_of
from kindling_state.errors import LeaseHeld, LeaseLost, StateRemoved
from kindling_state.history import History
from kindling_state.run_leases import RunLeases, lease_names, owner_of, refusal
from kindling_state.unfinished import Choice, appends, choose

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from kindling_core.app import App
    from kindling_core.doctor import Check
    from kindling_core.pipes import PipeMetadata
    from kindling_core.plan.execution_plan import ExecutionPlan
    from kindling_core.run.cancellation import CancelToken
    from kindling_core.run.report import RunReport
    from kindling_state.sql_store import SqlStateStore

_log = logging.getLogger("kindling.state")

RELEASE_SECONDS = 0.5


class StatePlugin:
    """Keeps the store of an App, and what its runs hold."""

    requires: list[str] = []
    optional: list[str] = ["entities"]

    def __init__(self) -> None:
        self._app: App | None = None
        self._store: SqlStateStore | None = None
        self._history: History | None = None
        self._leases: dict[str, RunLeases] = {}
        self._choices: dict[str, Choice] = {}
        self._done: dict[str, dict[str, Success]] = {}
        self._appended: dict[str, dict[str, str]] = {}
        self._tokens: weakref.WeakValueDictionary[str, CancelToken] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    @hookimpl
    def kindling_config(self) -> Mapping[str, type[BaseModel]]:
        return {"state": StateConfig}

    @hookimpl
    def kindling_services(self, app: App) -> Mapping[type, Callable[[], object]]:
        return {StateStore: lambda: self.store(app)}

    @hookimpl
    def kindling_start(self, app: App) -> None:
        self._app = app
        store = self.store(app)
        self._history = History(store, self._is_stopped, app.redact)
        self._history.listen(app.signals)

    @hookimpl
    def kindling_stop(self, app: App) -> None:
        if self._history is not None:
            self._history.close(app.signals)
        if self._store is not None:
            self._store.close()

    def store(self, app: App) -> SqlStateStore:
        """Return the store of an App; opened on first use."""
        from kindling_state.sql_store import SqlStateStore

        with self._lock:
            if self._store is None:
                try:
                    self._store = SqlStateStore(url_of(app))
                except StateError as error:
                    origins = (setting.origin for setting in app.config.settings() if setting.key == "state.url")
                    raise ConfigError(f"{next(origins, 'section [state]')}: {error}") from None
            return self._store

    @hookimpl
    def kindling_expected_seconds(self, app: App, pipe_ids: Sequence[str]) -> Mapping[str, float]:
        try:
            return self.store(app).expected_seconds(app.name, pipe_ids)
        except StateError as error:
            _log.warning("Pipes are planned without the durations of earlier runs: %s", error)
            return {}

    def _pin_what_is_written(self, plan: ExecutionPlan, done: Mapping[str, Success]) -> None:
        """Have a resumed run read what the run that it continues has written, whoever wrote there since."""
        makers: dict[str, list[str]] = {}
        for pipe_id, pipe in plan.pipes.items():
            if pipe.output_entity_id is not None:
                makers.setdefault(pipe.output_entity_id, []).append(pipe_id)
        for entity_id, pipe_ids in makers.items():
            written = [done[pipe_id].version_written for pipe_id in pipe_ids if pipe_id in done]
            versions = [version for version in written if version is not None]
            # What somebody has still to write is read as it will stand then.
            if len(versions) == len(pipe_ids) and self._keeps_versions(entity_id):
                plan.pinned_versions.setdefault(entity_id, max(versions))

    def _keeps_versions(self, entity_id: str) -> bool:
        info = self._app.describe_entity(entity_id) if self._app is not None else None
        return info is not None and info.versioned

    @hookimpl
    def kindling_claim_run(self, plan: ExecutionPlan, run: RunInfo) -> Continuation | None:
        from kindling_state.processes import this_process

        app, store = self._app, self._store
        if app is None or store is None:
            return None
        settings, process = app.config.section("state"), this_process()
        names = lease_names(settings.lease, app.name, run.pipe_ids)
        leases = RunLeases(
            store,
            owner_of(run, app.name, process),
            names,
            settings.lease_seconds,
            lost=run.cancelled.set,
            look=partial(self._look, run),
            clock=app.clock,
        )
        if not self._leases:
            store.database.forget_if_replaced()
        self._take(leases, run, settings.poll_seconds)
        self._leases[run.run_id] = leases
        self._tokens[run.run_id] = run.cancelled
        choice, earlier = Choice(), None
        if run.resumes is None:
            choice = choose(app, store, run, plan.pipes, settings.unfinished)
        if choice.go_on_with is not None:
            start = choice.go_on_with
            options = options_to_continue(start, run.given_options)
            earlier = Continuation(start.run_id, start.root_run_id, options)
            plan.pinned_versions.clear()
            plan.pinned_versions.update(start.pinned_versions)
        root_run_id = run.root_run_id if earlier is None else earlier.root_run_id
        if root_run_id != run.run_id:
            # Asked for only now: whoever was in the way may have finished the run.
            self._done[run.run_id] = store.succeeded(root_run_id)
        self._choices[run.run_id] = choice
        leases.keep()
        return earlier

    @hookimpl
    def kindling_pin(self, plan: ExecutionPlan, run: RunInfo) -> None:
        self._pin_what_is_written(plan, self._done.get(run.run_id, {}))

    @hookimpl
    def kindling_run_begins(self, plan: ExecutionPlan, run: RunInfo) -> None:
        from kindling_state.processes import this_process

        app, store = self._app, self._store
        if app is None or store is None:
            return
        process, choice = this_process(), self._choices.pop(run.run_id)
        store.begin_run(
            RunStart(
                run.run_id,
                run.root_run_id,
                app.name,
                run.mode,
                app.clock.utc_now().isoformat(),
                process[0],
                process[1],
                resumes=run.resumes,
                selection=list(run.selection),
                pipe_ids=list(run.pipe_ids),
                overrides=list(app.overrides),
                fingerprints={pipe_id: app.fingerprint(pipe).digest for pipe_id, pipe in plan.pipes.items()},
                pinned_versions=dict(plan.pinned_versions),
                job_hash=_hash_of(app),
                depends_on=dependencies(app, list(plan.pipes.values())),
                inputs={pipe_id: list(pipe.input_entity_ids) for pipe_id, pipe in plan.pipes.items()},
                outputs={pipe_id: pipe.output_entity_id for pipe_id, pipe in plan.pipes.items()},
                options=kept_options(run.options, app.redact),
            )
        )
        if choice.supersedes:
            store.settle(choice.supersedes, run.run_id)

    def _take(self, leases: RunLeases, run: RunInfo, poll_seconds: float) -> None:
        """Take the leases of a run, or wait for them."""
        said = False
        while held := leases.take():
            if not run.wait:
                raise refusal(held)
            if not said:
                said = True
                _log.warning("Waiting: %s", str(refusal(held)).partition(" unless")[0])
            if run.cancelled.wait(poll_seconds):
                raise LeaseHeld("Cancelled while another run was in the way; nothing ran.")

    @hookimpl
    def kindling_after_run(self, run: RunInfo, report: RunReport | None) -> None:
        self._done.pop(run.run_id, None)
        self._choices.pop(run.run_id, None)
        leases = self._leases.pop(run.run_id, None)
        if leases is None:
            return
        try:
            # A run that lost its lease has failed, whatever its pipes did in the end.
            if report is not None:
                leases.check()
                if report.status == "succeeded" and self._store is not None:
                    self._store.settle([run.root_run_id], run.run_id)
        finally:
            self._release(leases, run)

    def _release(self, leases: RunLeases, run: RunInfo) -> None:
        try:
            # Whoever cancels is not kept waiting for a database that does not answer.
            leases.release(RELEASE_SECONDS if self._is_stopped(run.run_id) else None)
        except StateRemoved as error:
            raise StateRemoved(f"{error} {self._advice(run)}") from error
        finally:
            self._appended.pop(run.run_id, None)

    def _is_stopped(self, run_id: str) -> bool:
        """Whether a run was asked to end, so that nobody has time for it."""
        token = self._tokens.get(run_id)
        return token is not None and token.is_set()

    @hookimpl
    def kindling_before_pipe(self, pipe: PipeMetadata, run: RunInfo) -> str | None:
        self._check(run)
        done = self._done.get(run.run_id, {}).get(pipe.pipe_id)
        return None if done is None else f"succeeded in run {done.run_id}"

    @hookimpl(wrapper=True)
    def kindling_write(self, request: WriteRequest) -> Generator[None, WriteResult | None, WriteResult | None]:
        self._check(request.run)
        repeats = self._appends(request)
        if request.transaction is None and repeats:
            # A run that is killed between this commit and its mark finds the commit again when it is resumed.
            request.transaction = request.run.transaction(request.pipe.pipe_id)
        result = yield
        if repeats:
            self._appended.setdefault(request.run.run_id, {})[request.pipe.pipe_id] = request.entity_id
        return result

    def _appends(self, request: WriteRequest) -> bool:
        if request.mode is not None or self._app is None:
            return request.mode == "append"
        return appends(self._app, request.pipe)

    @hookimpl
    def kindling_pipe_succeeded(self, pipe: PipeMetadata, run: RunInfo, result: WriteResult) -> None:
        if self._store is None or not result.durable:
            return
        try:
            self._store.mark_succeeded(run.root_run_id, pipe.pipe_id, run.run_id, result.version)
        except StateRemoved as error:
            raise StateRemoved(f"{error} {self._advice(run)}") from error
        except StateError as error:
            raise StateError(
                f"Pipe {pipe.pipe_id!r} has written its output, but that could not be noted: {error} A resumed run "
                f"runs the pipe again, and doubles nothing."
            ) from error

    def _advice(self, run: RunInfo) -> str:
        """Say what can be done without doubling a row, once the state of a run is gone."""
        back = f"Put it back and run `kindling resume {run.run_id}`."
        appended = self._appended.get(run.run_id)
        if not appended:
            return f"{back} If it is lost, `kindling run` doubles nothing: this run has appended to no table."
        tables = ", ".join(f"{entity_id} (pipe {pipe_id!r})" for pipe_id, entity_id in sorted(appended.items()))
        others = " ".join(f"'!{pipe_id}'" for pipe_id in sorted(appended))
        return (
            f"{back} If it is lost, do not run everything again: this run has appended to {tables}, and would append "
            f"the same rows once more. Run the rest with `kindling run {others}`."
        )

    def _look(self, run: RunInfo) -> None:
        """Cancel a run as Ctrl-C does, if somebody has asked for that."""
        if self._store is None or run.cancelled.is_set():
            return
        asked = self._store.cancel_request(run.run_id)
        if asked is not None:
            _log.warning("Run %s is cancelled: %s asked for it.", run.run_id, asked.by)
            run.cancelled.set()

    def _check(self, run: RunInfo) -> None:
        leases = self._leases.get(run.run_id)
        if leases is not None:
            leases.check()

    @hookimpl
    def kindling_classify_error(self, error: BaseException, pipe: PipeMetadata) -> bool | None:
        return False if isinstance(error, LeaseLost) else None

    @hookimpl
    def kindling_commands(self) -> Iterable[click.Command]:
        from kindling_state.commands import resume, runs

        return [runs, resume]

    @hookimpl
    def kindling_checks(self, app: App | None) -> Iterable[Check]:
        from kindling_state.doctor import check

        return check(app, self.store(app)) if app is not None else []


def _hash_of(app: App) -> str | None:
    if app.job_file is None:
        return None
    try:
        return hashlib.sha256(app.job_file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        _log.warning("The job file %s cannot be read any more: %s", app.job_file, error)
        return None
