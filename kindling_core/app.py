"""Composes a job of settings, features and pipes, and starts and closes it. ``running`` runs its pipes.

An App owns everything that it made: its signals, its plugin objects, its settings. Two Apps in one process
do not see each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from kindling_core.clock import Clock, SystemClock
from kindling_core.composition import Mounted, collections_in, origin_of, own_plugins, resolve_sections
from kindling_core.config import Config
from kindling_core.config_layers import Layer, environment_layer, file_layer, mapping_layer, override_layer
from kindling_core.errors import ConfigError, KindlingError, shortened
from kindling_core.job_modules import import_job_module
from kindling_core.life import Life
from kindling_core.logs import Log
from kindling_core.pipe_options import check_pipes
from kindling_core.pipes import DataPipesRegistry, PipeMetadata
from kindling_core.plan.entity_info import EntityInfo
from kindling_core.plugin_sources import OwnPlugin
from kindling_core.plugins import PluginHost
from kindling_core.running import RunsPipes
from kindling_core.secrets import MASK, describe_error, is_secret_name
from kindling_core.sections import JobSection
from kindling_core.services import Services, missing
from kindling_core.signals import BlinkerSignalProvider, SignalEmitter
from kindling_core.state.fingerprint import Fingerprint, Fingerprints

Service = TypeVar("Service")

_log = Log("kindling.app")


class App(RunsPipes):
    """A composed job.

    Args:
        features: names of the installed plugins that this job runs with.
        config: nested settings, ``{"entities": {"root": "./lake"}}``.
        modules: Python modules that hold ``Pipes()`` and other collections.
        name: of the job.
        base_dir: relative paths and modules start here; default is the working directory.
        plugins: objects with hooks that need no distribution; a class is made an object of.
        environ: in place of ``os.environ``.
        clock: the time of its runs, signals and leases; replaced in tests.

    Attributes:
        job_file: None for a job that was composed without a file.
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
        plugins: Sequence[object] = (),
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        given: dict[str, Any] = {key: dict(section) for key, section in (config or {}).items()}
        job = given.setdefault("job", {})
        for key, value in (("features", list(features)), ("modules", list(modules)), ("name", name)):
            if value:
                job[key] = value
        self._compose([mapping_layer(given, "App(...)")], Path(base_dir or "."), environ, plugins, clock)

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
        app.overrides = tuple(app._without_secret(override) for override in overrides)
        return app

    def _compose(
        self,
        layers: Sequence[Layer],
        base_dir: Path,
        environ: Mapping[str, str] | None,
        plugins: Sequence[object] = (),
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.clock: Clock = clock or SystemClock()
        self.base_dir = base_dir.resolve()
        self.job_file: Path | None = None
        self.overrides: tuple[str, ...] = ()
        self._services = Services(self.redact)
        self._environ = environ
        self._mounted = Mounted()
        self._fingerprints = Fingerprints()

        self.config = Config(layers, environ)
        with self._masked_errors():
            job = self.config.resolve("job", JobSection)
            self.name = job.name
            self._life = Life(job.name)
            own = [*own_plugins(self.config, job.plugins, self.base_dir), *map(OwnPlugin.of, plugins)]
            self.host = PluginHost.compose(job.features, environ=environ, plugins=own, redact=self.redact)
            resolve_sections(self.config, self.host, environ)
            self.signals = BlinkerSignalProvider(
                strict=self.config.section("signals").strict, redact=self.redact, clock=self.clock
            )
            for emitter in self.emitters():
                emitter.declare(self.signals)
            self.pipes = DataPipesRegistry()
            for name in job.modules:
                module = import_job_module(name, self.base_dir, origin_of(self.config, "job.modules"))
                for collection in collections_in(module):
                    self._mount(collection, module)
            self.check_pipes(self.all_pipes())
            for contributed in self.host.results("kindling_services", app=self):
                self._services.offer_lazily(contributed)

    @property
    def features(self) -> list[str]:
        """The features that the job names, in the order in which they start."""
        return list(self.host.features)

    @property
    def _active(self) -> str:
        return ", ".join(self.host.plugins) or "none"

    @property
    def hooks(self) -> Any:
        """pluggy's hook relay."""
        return self.host.manager.hook

    def _without_secret(self, override: str) -> str:
        name, _, value = override.partition("=")
        return override if self.redact(value) == value and not is_secret_name(name) else f"{name.strip()}={MASK}"

    @contextmanager
    def _masked_errors(self) -> Iterator[None]:
        """Mask secrets in errors, and shorten these, while there is no App yet that whoever shows them could ask."""
        try:
            yield
        except KindlingError as error:
            error.args = tuple(
                shortened(self.redact(argument)) if isinstance(argument, str) else argument for argument in error.args
            )
            raise

    def redact(self, text: str) -> str:
        """Mask the secrets of this job's settings in a text."""
        return self.config.redact(text)

    # Composition

    def emitters(self) -> list[type[SignalEmitter]]:
        """Every emitter class of the composed job: the core's, then each feature's."""
        return list(dict.fromkeys(emitter for found in self.host.results("kindling_signals") for emitter in found))

    def mount(self, *collections: object) -> None:
        """Add collections such as ``Pipes()`` or, with its feature, ``Entities()``.

        Raises:
            ConfigError: no active feature takes objects of this kind.
        """
        for collection in collections:
            if not self._mount(collection, None):
                raise ConfigError(
                    f"No active feature takes a {type(collection).__module__}.{type(collection).__name__}. "
                    f"Active features: {self._active}."
                )
        self.check_pipes(self.all_pipes())

    def _mount(self, collection: object, module: ModuleType | None) -> bool:
        if collection in self._mounted:
            return True
        if not self.host.call("kindling_mount", app=self, collection=collection, module=module):
            return False
        self._mounted.add(collection)
        return True

    def check_pipes(self, pipes: Iterable[PipeMetadata]) -> None:
        """Have the features check pipes, such as those that a feature adds to a plan.

        Raises:
            PipeDefinitionError: a feature refuses a pipe.
        """
        check_pipes(self, pipes, self._environ)

    def all_pipes(self) -> list[PipeMetadata]:
        """Every registered pipe, in the order of registration."""
        return [self.pipes.get_pipe_definition(pipe_id) for pipe_id in self.pipes.get_pipe_ids()]

    # Services

    def provide(self, kind: type[Service], service: Service) -> None:
        """Offer an object to the other features and the user, keyed by its type."""
        self._services.offer(kind, service)

    def service(self, kind: type[Service]) -> Service:
        """Return the object that a feature offers for this type; some are there before the App has started.

        Raises:
            PluginError: no active feature offers this type.
        """
        service = self._services.get(kind)
        if service is None:
            raise missing(kind, self._services.names(), self._active)
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
        """Start the features, required ones first; done by the first run if not before.

        A thread that comes while another starts them waits for it.

        Raises:
            KindlingError: the app is closing or closed, or a feature asks for this while it starts.
        """
        self._life.start(self._start_features)

    def _start_features(self) -> None:
        begun: list[str] = []
        try:
            for name in self.host.plugins:
                begun.append(name)
                self.host.call_one("kindling_start", name, app=self)
        except BaseException:
            self._take_back(begun)
            raise

    def _take_back(self, begun: Sequence[str]) -> None:
        """Stop the features whose start was begun; what else goes wrong must not hide why a feature did not start."""
        for name in reversed(begun):
            try:
                self.host.call_one("kindling_stop", name, app=self)
            except Exception as error:  # noqa: BLE001 - logged; why a feature did not start counts
                trace = describe_error(error, self.redact)
                _log.error("The feature %r could not be stopped again.\n%s", name, trace)

    def close(self) -> None:
        """Stop the features in the opposite order and deliver what receivers have queued; may be called twice.

        A call that comes while another closes the app returns at once.

        Raises:
            KindlingError: a feature asks for this while it starts.
        """
        self._life.close(self._stop_features)

    def _stop_features(self, started: bool) -> None:
        try:
            self._end_open_runs()
            if started:
                self.host.call("kindling_stop", app=self)
        finally:
            self._services.close()
            self.signals.close()

    # What features know

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
        """Return what rows of entities depend on, as the features know it: entity id -> name -> text."""
        found: dict[str, Mapping[str, str]] = {}
        for contributed in self.host.results("kindling_depends_on", entity_ids=entity_ids):
            for entity_id, texts in contributed.items():
                found[entity_id] = {**found.get(entity_id, {}), **texts}
        return found

    def describe_entity(self, entity_id: str) -> EntityInfo | None:
        """Return what the features know of an entity, None if no active feature knows it."""
        info: EntityInfo | None = self.host.call("kindling_describe_entity", entity_id=entity_id)
        return info
