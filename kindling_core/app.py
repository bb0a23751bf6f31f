"""Composes a job: settings, features, pipes, and the run itself.

An App owns everything that it made: its signals, its plugin objects, its settings. Two Apps in one process
do not see each other.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from kindling_core.config import Config
from kindling_core.config_layers import Layer, environment_layer, file_layer, mapping_layer, override_layer
from kindling_core.errors import ConfigError, KindlingError, PluginError, did_you_mean
from kindling_core.job_modules import import_job_module
from kindling_core.pipes import DataPipesRegistry, PipeMetadata, Pipes
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.plan.execution_plan import ExecutionPlan
from kindling_core.plan.graph import ExecutionMode
from kindling_core.plan.schedule import Schedule
from kindling_core.plan.selection import select
from kindling_core.plan.strategies import BatchExecutionStrategy, HybridExecutionStrategy, StreamingExecutionStrategy
from kindling_core.plugins import PluginHost, discover
from kindling_core.run.cancellation import Cancellation
from kindling_core.run.executer import DataPipesExecuter
from kindling_core.run.generation_executor import GenerationExecutor
from kindling_core.run.hooks import hooks_of
from kindling_core.run.io import HookIO, RunIO
from kindling_core.run.policy import OPTIONS, PipePolicy, policies_of
from kindling_core.run.report import RunReport
from kindling_core.run.requests import RunInfo
from kindling_core.secrets import MASK, is_secret_name
from kindling_core.sections import ExecutionSection, JobSection, SignalsSection
from kindling_core.signals import BlinkerSignalProvider, SignalEmitter, SignalProvider
from kindling_core.state import RunStart
from kindling_core.state.fingerprint import Fingerprint, Fingerprints

Service = TypeVar("Service")

CORE_SECTIONS: Mapping[str, type] = {
    "job": JobSection,
    "signals": SignalsSection,
    "execution": ExecutionSection,
}
CORE_EMITTERS: tuple[type[SignalEmitter], ...] = (
    DataPipesExecuter,
    GenerationExecutor,
    BatchExecutionStrategy,
    StreamingExecutionStrategy,
    HybridExecutionStrategy,
)


class App:
    """One composed job.

    Args:
        features: names of the installed plugins that this job runs with.
        config: nested settings, ``{"entities": {"root": "./lake"}}``.
        modules: Python modules that hold ``Pipes()`` and other collections.
        name: of the job.
        base_dir: relative paths and modules start here; default is the working directory.
        environ: in place of ``os.environ``.

    Attributes:
        job_file: None for a job that was composed without one.
        overrides: ``section.key=value`` assignments that it was composed with; a secret is masked.

    Raises:
        ConfigError, PluginError, PipeDefinitionError: the job does not compose; nothing was started.
    """

    def __init__(
        self,
        features: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
        modules: Sequence[str] = (),
        name: str | None = None,
        base_dir: str | Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        given: dict[str, Any] = {key: dict(section) for key, section in (config or {}).items()}
        job = given.setdefault("job", {})
        for key, value in (("features", list(features)), ("modules", list(modules)), ("name", name)):
            if value:
                job[key] = value
        self._compose([mapping_layer(given, "App(...)")], Path(base_dir or "."), environ)

    @classmethod
    def from_job(
        cls,
        path: str | Path = "kindling.toml",
        overrides: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> App:
        """Compose the job of a job file.

        Args:
            overrides: ``section.key=value`` assignments, the strongest layer.

        Raises:
            ConfigError, PluginError, PipeDefinitionError: the job does not compose; nothing was started.
        """
        app = cls.__new__(cls)
        path = Path(path)
        real_environ = os.environ if environ is None else environ
        layers = [file_layer(path), environment_layer(real_environ), override_layer(overrides)]
        app._compose(layers, path.parent, environ)
        app.job_file = path.resolve()
        app.overrides = tuple(app._without_secret(one) for one in overrides)
        return app

    def _compose(self, layers: Sequence[Layer], base_dir: Path, environ: Mapping[str, str] | None) -> None:
        self.base_dir = base_dir.resolve()
        self.job_file: Path | None = None
        self.overrides: tuple[str, ...] = ()
        self._services: dict[type, Any] = {}
        self._mounted: set[int] = set()
        self._state_lock = threading.Lock()
        self._started = False
        self._closed = False
        self._cancellation = Cancellation()
        self._fingerprints = Fingerprints()

        self.config = Config(layers, environ)
        with self._masked_errors():
            job = self.config.resolve("job", JobSection)
            self.name = job.name
            self.host = PluginHost.compose(job.features, environ=environ)
            self._resolve_sections()
            self.signals = BlinkerSignalProvider(strict=self.config.section("signals").strict, redact=self.redact)
            self._declare_signals()
            self.pipes = DataPipesRegistry()
            for module in job.modules:
                self._mount_module(import_job_module(module, self.base_dir, self._origin_of_modules()))
            self._check_pipes()

    @property
    def features(self) -> list[str]:
        """The active features in the order in which they start."""
        return list(self.host.features)

    @property
    def hooks(self) -> Any:
        """pluggy's hook relay."""
        return self.host.manager.hook

    def _without_secret(self, override: str) -> str:
        name, _, value = override.partition("=")
        return override if self.redact(value) == value and not is_secret_name(name) else f"{name.strip()}={MASK}"

    @contextmanager
    def _masked_errors(self) -> Iterator[None]:
        """Mask secrets in errors while there is no App yet that whoever shows them could ask."""
        try:
            yield
        except KindlingError as error:
            error.args = tuple(self.redact(one) if isinstance(one, str) else one for one in error.args)
            raise

    def redact(self, text: str) -> str:
        """Mask the secrets of this job's settings in a text."""
        return self.config.redact(text)

    # Composition

    def _resolve_sections(self) -> None:
        models: dict[str, type] = dict(CORE_SECTIONS)
        for contributed in self.host.results("kindling_config"):
            models.update(contributed)
        for name in self.config.section_names():
            if name not in models:
                raise ConfigError(self._unknown_section(name, models))
        for name, model in models.items():
            if name != "job":
                self.config.resolve(name, model)

    def _unknown_section(self, name: str, models: Mapping[str, type]) -> str:
        owner = _feature_with(lambda plugin: name in plugin.kindling_config(), "kindling_config", self.features)
        advice = (
            f" It belongs to the feature {owner!r}; add it to the job's features."
            if owner
            else did_you_mean(name, models)
        )
        return f"{self.config.origin_of_section(name)}: unknown section [{name}].{advice}"

    def emitters(self) -> list[type[SignalEmitter]]:
        """Every emitter class of the composed job: the core's, then each feature's."""
        found = list(CORE_EMITTERS)
        for contributed in self.host.results("kindling_signals"):
            found.extend(contributed)
        return list(dict.fromkeys(found))

    def _declare_signals(self) -> None:
        for emitter in self.emitters():
            emitter.declare(self.signals)

    def _origin_of_modules(self) -> str:
        return next(setting.origin for setting in self.config.settings() if setting.key == "job.modules")

    def _mount_module(self, module: ModuleType) -> None:
        for name, value in list(vars(module).items()):
            if not name.startswith("_") and not isinstance(value, (ModuleType, type)) and not callable(value):
                self._mount(value, module)

    def mount(self, *collections: object) -> None:
        """Add collections such as ``Pipes()`` or, with its feature, ``Entities()``.

        Raises:
            ConfigError: no active feature takes objects of this kind.
        """
        for collection in collections:
            if not self._mount(collection, None):
                raise ConfigError(
                    f"No active feature takes a {type(collection).__module__}.{type(collection).__name__}. "
                    f"Active features: {', '.join(self.features) or 'none'}."
                )
        self._check_pipes()

    def _mount(self, collection: object, module: ModuleType | None) -> bool:
        if id(collection) in self._mounted:
            return True
        if isinstance(collection, Pipes):
            self.pipes.mount(collection)
        elif not self.host.call("kindling_mount", app=self, collection=collection, module=module):
            return False
        self._mounted.add(id(collection))
        return True

    def _check_pipes(self) -> None:
        owned: dict[str, str] = dict(OPTIONS)
        policies_of(self.all_pipes(), PipePolicy(), self.config.section("execution").pools)
        for contributed in self.host.results("kindling_pipe_options"):
            owned.update(contributed)
        for pipe in self.all_pipes():
            for option in pipe.options:
                if option not in owned:
                    _warn_unowned_option(pipe, option, owned, self.features)
            self.host.call("kindling_check_pipe", app=self, pipe=pipe)

    def all_pipes(self) -> list[PipeMetadata]:
        """Every registered pipe, in the order of registration."""
        return [self.pipes.get_pipe_definition(pipe_id) for pipe_id in self.pipes.get_pipe_ids()]

    # Services

    def provide(self, kind: type[Service], service: Service) -> None:
        """Offer an object to the other features and the user, keyed by its type."""
        self._services[kind] = service

    def service(self, kind: type[Service]) -> Service:
        """Return the object that a feature offers for this type.

        Raises:
            PluginError: no active feature offers one.
        """
        try:
            service: Service = self._services[kind]
        except KeyError:
            offered = ", ".join(sorted(other.__name__ for other in self._services)) or "nothing"
            raise PluginError(
                f"No active feature offers {kind.__name__}. Offered here: {offered}. "
                f"Active features: {', '.join(self.features) or 'none'}."
            ) from None
        return service

    # Life

    def __enter__(self) -> App:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the features, required ones first; done by the first run if not before."""
        with self._state_lock:
            if self._closed:
                raise KindlingError(f"The app {self.name!r} is closed. Compose a new one.")
            if self._started:
                return
            begun: list[str] = []
            try:
                for name in self.features:
                    begun.append(name)
                    self.host.call_one("kindling_start", name, app=self)
            except BaseException:
                self._take_back(begun)
                raise
            self._started = True

    def _take_back(self, begun: Sequence[str]) -> None:
        """Stop the features whose start was begun; what else goes wrong must not hide why one did not start."""
        for name in reversed(begun):
            try:
                self.host.call_one("kindling_stop", name, app=self)
            except Exception:
                logging.getLogger("kindling.app").exception("The feature %r could not be stopped again.", name)

    def close(self) -> None:
        """Stop the features in the opposite order and deliver what receivers have queued; may be called twice."""
        with self._state_lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._started:
                    self.host.call("kindling_stop", app=self)
            finally:
                self.signals.close()

    # Planning and running

    def select(self, selection: Sequence[str] = ()) -> list[str]:
        """Resolve a selection to pipe ids."""
        return select(selection, self.all_pipes())

    def plan(self, selection: Sequence[str] = (), mode: ExecutionMode | str = ExecutionMode.BATCH) -> ExecutionPlan:
        """Plan without running.

        Raises:
            SelectionError, PlanError: nothing ran.
        """
        return self._executer().plan(self.select(selection), ExecutionMode(mode))

    def schedule(self, plan: ExecutionPlan) -> Schedule:
        """Return what waits for what in a plan, with what each pipe is expected to take."""
        return self._executer().schedule(plan)

    def run(
        self,
        selection: Sequence[str] = (),
        mode: ExecutionMode | str = ExecutionMode.BATCH,
        *,
        wait: bool = False,
        afresh: bool = False,
        resume: RunStart | None = None,
        cancelled: threading.Event | None = None,
    ) -> RunReport:
        """Run the selected pipes.

        Args:
            wait: for a run that is in the way, where a feature keeps runs apart.
            afresh: start anew although an earlier run of the job was not finished, where a feature remembers runs.
            resume: a run to continue, with its pipes, its mode and the versions that it read; see ``resume_run``.
            cancelled: cancels this run, also before it has begun; ``cancel`` sets it, too.

        Raises:
            SelectionError, PlanError: nothing ran.
            UnfinishedRun: an earlier run has still to be finished, and this one would repeat what it appended.
            RunFailed: pipes failed or the run was cancelled; carries the report and every failure.
        """
        cancelled = cancelled or threading.Event()
        with self.cancelling(cancelled):
            like = RunInfo("", "", selection=tuple(selection), wait=wait, afresh=afresh, cancelled=cancelled)
            pipe_ids = list(resume.pipe_ids) if resume is not None else self.select(selection)
            if resume is not None:
                mode = resume.mode
                like = replace(
                    like,
                    selection=tuple(resume.selection),
                    resumes=resume.run_id,
                    root_run_id=resume.root_run_id,
                )
            self.start()
            return self._executer(self.signals).run_datapipes(
                pipe_ids,
                mode=ExecutionMode(mode),
                like=like,
                pinned_versions=resume.pinned_versions if resume is not None else None,
            )

    def _executer(self, signals: SignalProvider | None = None) -> DataPipesExecuter:
        """Return what plans and runs the pipes; without ``signals`` it sends none, which is enough for a plan."""
        settings: ExecutionSection = self.config.section("execution")
        options = settings.options()

        def io(run: RunInfo, plan: ExecutionPlan) -> RunIO:
            policies = policies_of(plan.pipes.values(), options.pipe, options.pools)
            once = {pipe_id for pipe_id, policy in policies.items() if policy.retry.attempts > 1}
            return HookIO(self.host, run, plan, options.cache, once)

        return DataPipesExecuter(
            self.pipes,
            signal_provider=signals,
            max_workers=settings.max_workers,
            options=options,
            hooks=hooks_of(self.host, self.expected_seconds, self.redact),
            io=io,
            describe_entity=self.describe_entity if self.host.implements("kindling_describe_entity") else None,
            known_entities=lambda: [one for ids in self.host.results("kindling_entity_ids") for one in ids],
        )

    def cancelling(self, event: threading.Event) -> AbstractContextManager[None]:
        """Have ``cancel`` set an event while the block lasts, such as that of a run which has still to be prepared."""
        return self._cancellation.reaching(event)

    def cancel(self) -> None:
        """End the runs that are under way: nothing new starts, running pipes are told to stop, and the runs fail.

        What does not stop within ``execution.grace_seconds`` is left behind, and can no longer write.
        """
        self._cancellation.cancel()

    def expected_seconds(self, pipe_ids: list[str]) -> Mapping[str, float]:
        """Return pipe id -> what it is expected to take, as far as a feature knows."""
        found: dict[str, float] = {}
        for contributed in self.host.results("kindling_expected_seconds", app=self, pipe_ids=pipe_ids):
            found.update(contributed)
        return found

    def fingerprint(self, pipe: PipeMetadata) -> Fingerprint:
        """Return the fingerprint of a pipe as it was when it was first asked for.

        What a pipe closes over may change while it runs, and is not what it was declared with then.
        """
        memory = self.pipes.memory(pipe.pipe_id)
        if "fingerprint" not in memory:
            memory["fingerprint"] = self._fingerprints.of(pipe)
        found: Fingerprint = memory["fingerprint"]
        return found

    def depends_on(self, entity_ids: Sequence[str]) -> dict[str, Mapping[str, str]]:
        """Return what the features tell of what rows of entities depend on: entity id -> name -> text."""
        found: dict[str, Mapping[str, str]] = {}
        for contributed in self.host.results("kindling_depends_on", entity_ids=entity_ids):
            for entity_id, told in contributed.items():
                found[entity_id] = {**found.get(entity_id, {}), **told}
        return found

    def describe_entity(self, entity_id: str) -> EntityInfo | None:
        """Return what the features know of an entity, None if no active one knows it."""
        info: EntityInfo | None = self.host.call("kindling_describe_entity", entity_id=entity_id)
        return info


def _feature_with(owns: Callable[[Any], bool], hook: str, active: Sequence[str]) -> str | None:
    """Find an installed feature outside the job that would own something. Asked only to word an error."""
    for name, feature in discover().items():
        if name in active:
            continue
        try:
            plugin = feature.load()()
        except PluginError:
            continue
        if hasattr(plugin, hook) and owns(plugin):
            return name
    return None


def _warn_unowned_option(pipe: PipeMetadata, option: str, owned: Mapping[str, str], active: Sequence[str]) -> None:
    owner = _feature_with(lambda plugin: option in plugin.kindling_pipe_options(), "kindling_pipe_options", active)
    advice = (
        f"It belongs to the feature {owner!r}, which this job does not name."
        if owner
        else f"No installed feature knows it.{did_you_mean(option, owned)}"
    )
    logging.getLogger("kindling.app").warning(
        "Pipe %r (%s): option %r has no effect. %s", pipe.pipe_id, pipe.location, option, advice
    )
