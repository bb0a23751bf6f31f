"""The active plugins of an App: an object of each, in order, and the calls of their hooks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from types import CodeType, FunctionType, TracebackType
from typing import Any

import pluggy

from kindling_core import hooks
from kindling_core.errors import KindlingError, PluginError, safe_str, text_of
from kindling_core.logs import Log, say
from kindling_core.plugin_sources import CORE, GROUP, Feature, OwnPlugin, Source, discover, not_installed
from kindling_core.secrets import Redactor, describe_error

_log = Log("kindling.plugins")

TRACE_VARIABLE = "KINDLING_TRACE_PLUGINS"
# What is raised within these may be the user's own error.
_AROUND_USERS_CODE = ("kindling_read", "kindling_write")


@dataclass
class PluginHost:
    """The active plugins of an App, in order, with their hooks. The core is the first of them.

    Attributes:
        plugins: name -> where it comes from, in the order in which they start; without the core.
        manager: pluggy's manager; ``manager.hook`` calls hooks directly, the last plugin first.
        redact: masks secrets in errors and in what is logged.
    """

    plugins: dict[str, Source]
    manager: pluggy.PluginManager
    # The same plugins registered the other way round: pluggy calls what was registered last first.
    _in_order: pluggy.PluginManager
    redact: Callable[[str], str] = field(default_factory=Redactor)
    _owners: dict[CodeType, list[str]] = field(default_factory=dict)
    _sets_up: set[str] = field(default_factory=set)
    _takes_down: dict[str, list[Any] | None] = field(default_factory=dict)

    @classmethod
    def compose(
        cls,
        names: Sequence[str],
        available: Mapping[str, Feature] | None = None,
        environ: Mapping[str, str] | None = None,
        plugins: Iterable[OwnPlugin] = (),
        redact: Callable[[str], str] | None = None,
    ) -> PluginHost:
        """Load the named features and the job's own plugins, and order them by what they require.

        Args:
            redact: masks secrets in errors and in what is logged; by default those that show by their form.

        Raises:
            PluginError: a feature is unknown, broken, named twice, or lacks a requirement; features require
                each other in a circle.
        """
        environ = os.environ if environ is None else environ
        available = discover(environ) if available is None else available
        sources = _sources(names, available, environ, plugins)
        loaded = {name: source.load() for name, source in sources.items()}
        host = cls({}, pluggy.PluginManager(GROUP), pluggy.PluginManager(GROUP), redact or Redactor())
        host._add_hookspecs(hooks)
        if environ.get(TRACE_VARIABLE) == "1":
            for manager in host._managers():
                manager.add_hookcall_monitoring(_trace_call, _trace_result)
        for plugin in loaded.values():
            if hasattr(plugin, "hookspecs"):
                host._add_hookspecs(plugin.hookspecs)
        host.manager.register(CORE.make(), name=CORE.name)
        for name in _in_order(sources, loaded, available, environ):
            host._add(sources[name])
        for name, plugin in reversed(host.manager.list_name_plugin()):
            host._in_order.register(plugin, name=name)
        try:
            host.manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"A plugin implements a hook that does not exist: {error}.") from error
        return host

    @property
    def features(self) -> dict[str, Feature]:
        """The installed features among the plugins, in the order in which they start."""
        return {name: source for name, source in self.plugins.items() if isinstance(source, Feature)}

    def _managers(self) -> tuple[pluggy.PluginManager, pluggy.PluginManager]:
        return self.manager, self._in_order

    def _add_hookspecs(self, module: Any) -> None:
        for manager in self._managers():
            manager.add_hookspecs(module)
        for name in dir(module):
            order = hooks.order_of(getattr(module, name))
            if order == hooks.SETS_UP:
                self._sets_up.add(name)
            elif order == hooks.TAKES_DOWN:
                self._takes_down[name] = None

    def _add(self, source: Source) -> None:
        """Make a plugin's object for this App and register its hooks."""
        try:
            plugin = source.make()
            self.manager.register(plugin, name=source.name)
        except Exception as error:
            named = f"{source.title} of {source.origin}" if isinstance(source, Feature) else source.title
            raise PluginError(
                f"{named} cannot be set up: {type(error).__name__}: {text_of(error, self.redact)}."
            ) from error
        self.plugins[source.name] = source
        for caller in self.manager.get_hookcallers(plugin) or []:
            for implementation in caller.get_hookimpls():
                function = getattr(implementation.function, "__func__", implementation.function)
                if implementation.plugin is plugin and isinstance(function, FunctionType):
                    self._owners.setdefault(function.__code__, []).append(source.name)

    # Calls

    def implements(self, hook: str) -> bool:
        """Whether an active plugin implements this hook."""
        return bool(getattr(self.manager.hook, hook).get_hookimpls())

    def results(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook and return its results in the order of the plugins, those of the core first."""
        results: list[Any] = self.call(hook, **arguments)
        return results if hook in self._sets_up else results[::-1]

    def results_by_plugin(self, hook: str, **arguments: Any) -> list[tuple[Source, Any]]:
        """Call a hook of each plugin by itself; return what each gave, the core first."""
        mine = {implementation.plugin_name for implementation in getattr(self.manager.hook, hook).get_hookimpls()}
        sources = [CORE, *self.plugins.values()]
        return [
            (source, result)
            for source in sources
            if source.name in mine
            for result in self.call_one(hook, source.name, **arguments)
        ]

    def call_one(self, hook: str, plugin: str, **arguments: Any) -> Any:
        """Call a hook of a single plugin alone."""
        return self._call(hook, self._caller_of(hook, plugin), arguments)

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook of every plugin, in the order that its specification is marked with; else the last first.

        Raises:
            PluginError: an implementation raised something that is no KindlingError; names the plugin.
        """
        if hook in self._takes_down:
            return self._call_each(hook, arguments)
        manager = self._in_order if hook in self._sets_up else self.manager
        return self._call(hook, getattr(manager.hook, hook), arguments)

    def call_around(self, hook: str, innermost: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function as the innermost implementation of a hook, with the wrappers of the plugins around it."""
        caller = getattr(self.manager.hook, hook)
        raised: list[BaseException] = []

        @wraps(innermost)
        def inner(*values: Any) -> Any:
            try:
                return innermost(*values)
            except BaseException as error:
                raised.append(error)
                raise

        try:
            return self._call(hook, lambda **given: caller.call_extra([inner], given), arguments)
        except PluginError as error:
            if any(error.__cause__ is mine for mine in raised):
                # Whatever it went through, it is not the plugin's.
                raise raised[-1] from raised[-1].__cause__
            raise

    def _caller_of(self, hook: str, plugin: str) -> Any:
        others = [other for name, other in self.manager.list_name_plugin() if name != plugin]
        return self.manager.subset_hook_caller(hook, others)

    def _call_each(self, hook: str, arguments: Mapping[str, Any]) -> list[Any]:
        """Call a hook that takes down: an error of a plugin keeps no other from releasing what it holds."""
        callers = self._takes_down[hook]
        if callers is None:
            mine = {implementation.plugin_name for implementation in getattr(self.manager.hook, hook).get_hookimpls()}
            names = [name for name, _ in reversed(self.manager.list_name_plugin()) if name in mine]
            callers = self._takes_down[hook] = [self._caller_of(hook, name) for name in names]
        results: list[Any] = []
        failures: list[BaseException] = []
        for caller in callers:
            try:
                results += self._call(hook, caller, arguments)
            except BaseException as error:  # noqa: BLE001 - raised once every plugin was called
                failures.append(error)
        if not failures:
            return results
        try:
            # Whoever interrupts must not be answered with a plugin's error.
            failure = next((error for error in failures if not isinstance(error, Exception)), failures[0])
            for other in failures:
                if other is not failure:
                    _log.error("A further failure in %s.\n%s", hook, describe_error(other, self.redact))
            raise failure
        finally:
            # A traceback that refers to the frame which holds it would live until the garbage is collected.
            failures.clear()
            del failure

    def _call(self, hook: str, caller: Any, arguments: Mapping[str, Any]) -> Any:
        try:
            return caller(**arguments)
        except KindlingError:
            raise
        except Exception as error:
            owner = self._owner_of(error)
            if owner is None or (hook in _AROUND_USERS_CODE and not self._raised_by(owner, error)):
                # A lazy frame's own error, raised while a plugin computes it, is the user's and not the plugin's.
                raise
            raise PluginError(
                f"Plugin {owner!r} ({self.plugins[owner].origin}) failed in {hook}: "
                f"{type(error).__name__}: {text_of(error, self.redact)}"
            ) from error

    def _owner_of(self, error: BaseException) -> str | None:
        """Return the plugin whose hook the error came through last."""
        owner = None
        for trace in _traces(error):
            names = self._owners.get(trace.tb_frame.f_code)
            if names is not None:
                mine = next(iter(trace.tb_frame.f_locals.values()), None) if len(names) > 1 else None
                owner = next((name for name in names if self.manager.get_plugin(name) is mine), names[0])
        return owner

    def _raised_by(self, owner: str, error: BaseException) -> bool:
        """Whether the error was raised in the plugin's own code: its package, or its module if it is the user's own."""
        traces = list(_traces(error))
        if not traces:
            return False
        raised_in = str(traces[-1].tb_frame.f_globals.get("__name__", ""))
        module = type(self.manager.get_plugin(owner)).__module__
        if isinstance(self.plugins[owner], OwnPlugin):
            return raised_in == module
        return raised_in.partition(".")[0] == module.partition(".")[0]


def _traces(error: BaseException) -> Iterator[TracebackType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _sources(
    names: Sequence[str],
    available: Mapping[str, Feature],
    environ: Mapping[str, str],
    plugins: Iterable[OwnPlugin],
) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for name in names:
        if name in sources:
            raise PluginError(f"Feature {name!r} is named twice in the job's features.")
        if name not in available:
            raise PluginError(not_installed(name, available, environ))
        sources[name] = available[name]
    for plugin in plugins:
        other = sources.setdefault(plugin.name, plugin)
        if other is not plugin:
            raise PluginError(
                f"Two plugins of this job are named {plugin.name!r}: {other.origin} and {plugin.origin}. "
                f"Give one another name, by its attribute `name`."
            )
    return sources


def _in_order(
    sources: Mapping[str, Source],
    loaded: Mapping[str, Any],
    available: Mapping[str, Feature],
    environ: Mapping[str, str],
) -> list[str]:
    """Order by requirements, otherwise as the job names them."""
    for name, plugin in loaded.items():
        for required in getattr(plugin, "requires", ()):
            if required in loaded:
                continue
            needs = f"{sources[name].title} requires {required!r}."
            if required in available:
                raise PluginError(f"{needs} Add {required!r} to the job's features.")
            raise PluginError(f"{needs} {not_installed(required, available, environ)}")
    ordered: list[str] = []
    waiting = list(loaded)
    while waiting:
        ready = [
            name
            for name in waiting
            if not any(
                other in waiting
                for kind in ("requires", "optional")
                for other in getattr(loaded[name], kind, ())
                if other != name
            )
        ]
        if not ready:
            raise PluginError(f"Features require each other in a circle: {', '.join(waiting)}.")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def _trace_call(hook_name: str, implementations: Sequence[Any], arguments: Mapping[str, Any]) -> None:
    given = ", ".join(f"{key}={_brief(value)}" for key, value in arguments.items())
    names = ", ".join(implementation.plugin_name for implementation in reversed(implementations))
    say(f"kindling: {hook_name}({given}) -> {names or 'nobody'}")


def _trace_result(
    outcome: pluggy.Result[Any], hook_name: str, implementations: Sequence[Any], arguments: Mapping[str, Any]
) -> None:
    if outcome.exception is not None:
        say(f"kindling: {hook_name} raised {type(outcome.exception).__name__}")


def _brief(value: object) -> str:
    """Name a value without its contents: settings and frames may hold what must not be printed."""
    for attribute in ("pipe_id", "entity_id", "run_id"):
        try:
            found = getattr(value, attribute, None)
        except Exception:  # noqa: BLE001 - a frame's class may look for a column of that name, and fail
            break
        if found is not None:
            return f"<{type(value).__name__} {safe_str(found)}>"
    return repr(value) if type(value) in (str, int, bool) else f"<{type(value).__name__}>"
