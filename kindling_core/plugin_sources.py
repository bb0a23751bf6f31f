"""Where plugins come from: entry points of installed distributions, and classes and objects of the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import importlib_metadata

from kindling_core._version import __version__
from kindling_core.errors import PluginError, did_you_mean, full_text_of

GROUP = "kindling"
LOAD_VARIABLE = "KINDLING_LOAD_PLUGINS"


@dataclass(frozen=True)
class Feature:
    """An installed feature, not imported yet."""

    name: str
    distribution: str
    version: str
    entry_point: importlib_metadata.EntryPoint

    @property
    def origin(self) -> str:
        """What errors name it by beside its name."""
        return self.distribution

    @property
    def title(self) -> str:
        """How errors begin that are about it."""
        return f"Feature {self.name!r}"

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
                f"({self.entry_point.value}): {type(error).__name__}: {full_text_of(error)}. "
                f"Reinstall or update it: pip install --upgrade {self.distribution}."
            ) from error
        if not isinstance(loaded, type):
            raise PluginError(
                f"Feature {self.name!r} of {self.distribution}: its entry point {self.entry_point.value} "
                f"is no class. Point it at the plugin's class."
            )
        return loaded

    def make(self) -> object:
        """Make the plugin's object for an App."""
        return self.load()()


@dataclass(frozen=True)
class OwnPlugin:
    """A plugin without a distribution: a class of the job's own code, or an object that was given to the App.

    Attributes:
        name: its attribute ``name``, or the name of its class.
        origin: module and class, ``shop.hooks:Mine``.
    """

    name: str
    origin: str
    plugin: Any

    @classmethod
    def of(cls, plugin: Any) -> OwnPlugin:
        """Take a plugin; a class is made an object of for each App."""
        kind = plugin if isinstance(plugin, type) else type(plugin)
        given = getattr(plugin, "name", None)
        name = given if isinstance(given, str) and given else kind.__name__
        return cls(name, f"{kind.__module__}:{kind.__qualname__}", plugin)

    @property
    def title(self) -> str:
        """How errors begin that are about it."""
        return f"Plugin {self.name!r} ({self.origin})"

    def load(self) -> Any:
        """Return what has the attributes ``requires``, ``optional`` and ``hookspecs``."""
        return self.plugin

    def make(self) -> object:
        """Return the plugin's object for an App."""
        return self.plugin() if isinstance(self.plugin, type) else self.plugin


CORE = Feature(
    "kindling-core",
    "kindling-core",
    __version__,
    importlib_metadata.EntryPoint("kindling-core", "kindling_core.core_plugin:CorePlugin", GROUP),
)
"""The core's own plugin. It is loaded by its name, as others are, since it knows rooms that nothing else may import."""

Source: TypeAlias = "Feature | OwnPlugin"


def discover(environ: Mapping[str, str] | None = None) -> dict[str, Feature]:
    """Find the installed features by name, without importing any, as far as ``KINDLING_LOAD_PLUGINS`` lets.

    Args:
        environ: in place of ``os.environ``.

    Raises:
        PluginError: two distributions offer a feature of the same name.
    """
    wanted = wanted_features(environ)
    found: dict[str, Feature] = {}
    for entry_point in importlib_metadata.entry_points(group=GROUP):
        if wanted is not None and entry_point.name not in wanted:
            continue
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


def wanted_features(environ: Mapping[str, str] | None = None) -> list[str] | None:
    """Return the names in ``KINDLING_LOAD_PLUGINS``; None where it is not set, so that all are wanted."""
    text = (os.environ if environ is None else environ).get(LOAD_VARIABLE)
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def not_installed(name: str, available: Mapping[str, Feature], environ: Mapping[str, str] | None = None) -> str:
    """Word that a feature is not there: it is kept out by ``KINDLING_LOAD_PLUGINS``, or has to be installed."""
    wanted = wanted_features(environ)
    if wanted is not None and name not in wanted and name in discover({}):
        return (
            f"Feature {name!r} is installed, but {LOAD_VARIABLE} keeps it out: it is "
            f"{','.join(wanted)!r}. Add {name!r} to it, or unset it."
        )
    return (
        f"Feature {name!r} is not installed.{did_you_mean(name, available)} "
        f"Install it: pip install kindling-{name.replace('_', '-')}. "
        f"Installed features: {', '.join(sorted(available)) or 'none'}."
    )
