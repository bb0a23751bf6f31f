"""Finds features by their entry points, makes one plugin object of each for an App, and calls their hooks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

import importlib_metadata
import pluggy

from kindling_core import hooks
from kindling_core.errors import KindlingError, PluginError, did_you_mean, safe_str, text_of
from kindling_core.logs import say

GROUP = "kindling"
TRACE_VARIABLE = "KINDLING_TRACE_PLUGINS"


@dataclass(frozen=True)
class Feature:
    """An installed feature, not imported yet."""

    name: str
    distribution: str
    version: str
    entry_point: importlib_metadata.EntryPoint

    def load(self) -> type:
        """Import the plugin's class.

        Raises:
            PluginError: the import fails; names the distribution.
        """
        try:
            loaded = self.entry_point.load()
        except Exception as error:
            raise PluginError(
                f"Feature {self.name!r} of {self.distribution} {self.version} does not import "
                f"({self.entry_point.value}): {type(error).__name__}: {text_of(error)}. "
                f"Reinstall or update it: pip install --upgrade {self.distribution}."
            ) from error
        if not isinstance(loaded, type):
            raise PluginError(
                f"Feature {self.name!r} of {self.distribution}: its entry point {self.entry_point.value} "
                f"is no class. Point it at the plugin's class."
            )
        return loaded


def discover() -> dict[str, Feature]:
    """Find the installed features by name, without importing any.

    Raises:
        PluginError: two distributions offer a feature of the same name.
    """
    found: dict[str, Feature] = {}
    for entry_point in importlib_metadata.entry_points(group=GROUP):
        distribution = entry_point.dist
        feature = Feature(
            entry_point.name,
            distribution.name if distribution else "unknown",
            distribution.version if distribution else "unknown",
            entry_point,
        )
        other = found.setdefault(feature.name, feature)
        if other.distribution != feature.distribution:
            raise PluginError(
                f"Feature {feature.name!r} is offered by both {other.distribution} and "
                f"{feature.distribution}. Uninstall one of them."
            )
    return found


@dataclass
class PluginHost:
    """The active features of one App, in order, with their hooks.

    Attributes:
        features: name -> feature, in the order in which they start.
        manager: pluggy's manager; ``manager.hook`` calls hooks directly.
    """

    features: dict[str, Feature]
    manager: pluggy.PluginManager
    _owners: dict[CodeType, str] = field(default_factory=dict)

    @classmethod
    def compose(
        cls,
        names: Sequence[str],
        available: Mapping[str, Feature] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> PluginHost:
        """Load the named features and order them by what they require.

        Raises:
            PluginError: a feature is unknown, broken, named twice, or lacks a requirement; features require
                each other in a circle.
        """
        available = discover() if available is None else available
        classes: dict[str, type] = {}
        for name in names:
            if name in classes:
                raise PluginError(f"Feature {name!r} is named twice in the job's features.")
            if name not in available:
                raise PluginError(_not_installed(name, available))
            classes[name] = available[name].load()
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hooks)
        host = cls({}, manager)
        if (os.environ if environ is None else environ).get(TRACE_VARIABLE) == "1":
            manager.add_hookcall_monitoring(_trace_call, _trace_result)
        for plugin_class in classes.values():
            if hasattr(plugin_class, "hookspecs"):
                manager.add_hookspecs(plugin_class.hookspecs)
        for name in _in_order(classes, available):
            host.add(available[name], classes[name])
        try:
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"A plugin implements a hook that does not exist: {error}.") from error
        return host

    def add(self, feature: Feature, plugin_class: type) -> None:
        """Make the plugin's object for this App and register its hooks."""
        try:
            plugin = plugin_class()
            self.manager.register(plugin, name=feature.name)
        except Exception as error:
            raise PluginError(
                f"Feature {feature.name!r} of {feature.distribution} cannot be set up: "
                f"{type(error).__name__}: {text_of(error)}."
            ) from error
        self.features[feature.name] = feature
        for caller in self.manager.get_hookcallers(plugin) or []:
            for implementation in caller.get_hookimpls():
                function = getattr(implementation.function, "__func__", implementation.function)
                if implementation.plugin is plugin and isinstance(function, FunctionType):
                    self._owners[function.__code__] = feature.name

    def implements(self, hook: str) -> bool:
        """Whether an active feature implements this hook."""
        return bool(getattr(self.manager.hook, hook).get_hookimpls())

    def results(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook and return its results in the order of the features (pluggy calls the last one first)."""
        return list(reversed(self.call(hook, **arguments)))

    def call_one(self, hook: str, feature: str, **arguments: Any) -> Any:
        """Call a hook of one feature alone."""
        others = [plugin for name, plugin in self.manager.list_name_plugin() if name != feature]
        return self._call(hook, self.manager.subset_hook_caller(hook, others), arguments)

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call a hook; the feature that was started last answers first.

        Raises:
            PluginError: an implementation raised something that is no KindlingError; names the plugin.
        """
        return self._call(hook, getattr(self.manager.hook, hook), arguments)

    def _call(self, hook: str, caller: Any, arguments: Mapping[str, Any]) -> Any:
        try:
            return caller(**arguments)
        except KindlingError:
            raise
        except Exception as error:
            owner = self._owner_of(error)
            if owner is None or (hook in ("kindling_read", "kindling_write") and not self._raised_by(owner, error)):
                # A lazy frame's own error, raised while a plugin computes it, is the user's and not the plugin's.
                raise
            distribution = self.features[owner].distribution
            raise PluginError(
                f"Plugin {owner!r} ({distribution}) failed in {hook}: {type(error).__name__}: {text_of(error)}"
            ) from error

    def _owner_of(self, error: BaseException) -> str | None:
        owner = None
        traceback = error.__traceback__
        while traceback is not None:
            owner = self._owners.get(traceback.tb_frame.f_code, owner)
            traceback = traceback.tb_next
        return owner

    def _raised_by(self, owner: str, error: BaseException) -> bool:
        traceback = error.__traceback__
        if traceback is None:
            return False
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        package = type(self.manager.get_plugin(owner)).__module__.partition(".")[0]
        return str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == package


def _not_installed(name: str, available: Mapping[str, Feature]) -> str:
    return (
        f"Feature {name!r} is not installed.{did_you_mean(name, available)} "
        f"Install it: pip install kindling-{name.replace('_', '-')}. "
        f"Installed features: {', '.join(sorted(available)) or 'none'}."
    )


def _in_order(classes: Mapping[str, type], available: Mapping[str, Feature]) -> list[str]:
    """Order by requirements, otherwise as the job names them."""
    for name, plugin_class in classes.items():
        for required in getattr(plugin_class, "requires", ()):
            if required in classes:
                continue
            if required in available:
                raise PluginError(f"Feature {name!r} requires {required!r}. Add {required!r} to the job's features.")
            raise PluginError(f"Feature {name!r} requires {required!r}. {_not_installed(required, available)}")
    ordered: list[str] = []
    waiting = list(classes)
    while waiting:
        ready = [
            name
            for name in waiting
            if not any(
                other in waiting
                for kind in ("requires", "optional")
                for other in getattr(classes[name], kind, ())
                if other != name
            )
        ]
        if not ready:
            raise PluginError(f"Features require each other in a circle: {', '.join(waiting)}.")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def _trace_call(hook_name: str, implementations: Sequence[Any], arguments: Mapping[str, Any]) -> None:
    told = ", ".join(f"{key}={_brief(value)}" for key, value in arguments.items())
    names = ", ".join(implementation.plugin_name for implementation in reversed(implementations))
    say(f"kindling: {hook_name}({told}) -> {names or 'nobody'}")


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
