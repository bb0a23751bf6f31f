"""How an App is put together: its own plugins, the sections of its settings, what its modules hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from kindling_core.config import Config
from kindling_core.errors import ConfigError, PluginError, did_you_mean
from kindling_core.job_modules import import_job_module
from kindling_core.logs import Log
from kindling_core.plugin_sources import OwnPlugin, Source, discover
from kindling_core.plugins import PluginHost
from kindling_core.secrets import describe_error

_log = Log("kindling.app")


def origin_of(config: Config, key: str) -> str:
    """Return where a setting of a resolved section comes from."""
    return next(setting.origin for setting in config.settings() if setting.key == key)


def own_plugins(config: Config, names: Sequence[str], base_dir: Path) -> list[OwnPlugin]:
    """Import the classes that ``[job] plugins`` names.

    Args:
        names: ``module:Class`` each; modules are looked for as those of the job are.

    Raises:
        ConfigError: a name is not written that way, or leads to no class; with its origin and near matches.
    """
    if not names:
        return []
    origin = origin_of(config, "job.plugins")
    return [OwnPlugin.of(_class_named(name, base_dir, origin)) for name in names]


def _class_named(name: str, base_dir: Path, origin: str) -> type:
    module_name, colon, class_name = name.partition(":")
    if not colon or not module_name or not class_name:
        raise ConfigError(f"{origin}: job.plugins: {name!r} is no plugin. Write it as module:Class.")
    module = import_job_module(module_name, base_dir, origin)
    found = getattr(module, class_name, None)
    if isinstance(found, type):
        return found
    classes = [key for key, value in vars(module).items() if isinstance(value, type)]
    wrong = f"no class {class_name!r}" if found is None else f"{class_name!r}, which is no class"
    raise ConfigError(
        f"{origin}: job.plugins: module {module_name!r} has {wrong}.{did_you_mean(class_name, classes)} "
        f"Name the plugin's class, of which each App makes an object."
    )


def resolve_sections(config: Config, host: PluginHost, environ: Mapping[str, str] | None) -> None:
    """Check every section against the model of the plugin that owns it.

    Raises:
        ConfigError: a section that no active plugin owns, an unknown key, or a wrong value.
        PluginError: two plugins own the same section.
    """
    models: dict[str, type] = {}
    owners: dict[str, Source] = {}
    for source, contributed in host.results_by_plugin("kindling_config"):
        for name in contributed:
            other = owners.setdefault(name, source)
            if other is not source:
                raise PluginError(
                    f"Two plugins own the section [{name}]: {other.name!r} ({other.origin}) and {source.name!r} "
                    f"({source.origin}). Use one of them, or give the section of one another name."
                )
        models.update(contributed)
    for name in config.section_names():
        if name not in models:
            raise ConfigError(_unknown_section(config, name, models, host.plugins, environ))
    for name, model in models.items():
        # The host was made of this section.
        if name != "job":
            config.resolve(name, model)


def _unknown_section(
    config: Config, name: str, models: Mapping[str, type], active: Iterable[str], environ: Mapping[str, str] | None
) -> str:
    def owns(plugin: Any) -> bool:
        return name in plugin.kindling_config()

    owner = feature_with(owns, "kindling_config", active, environ, config.redact)
    advice = (
        f" It belongs to the feature {owner!r}; add it to the job's features." if owner else did_you_mean(name, models)
    )
    return f"{config.origin_of_section(name)}: unknown section [{name}].{advice}"


def feature_with(
    owns: Callable[[Any], bool],
    hook: str,
    active: Iterable[str],
    environ: Mapping[str, str] | None,
    redact: Callable[[str], str],
) -> str | None:
    """Find an installed feature outside the job that would own something. Asked only to word an error.

    Args:
        redact: masks secrets in what is logged.
    """
    found = plugin_with(owns, hook, active, environ, redact)
    return None if found is None else found[0]


def plugin_with(
    owns: Callable[[Any], bool],
    hook: str,
    active: Iterable[str],
    environ: Mapping[str, str] | None,
    redact: Callable[[str], str],
) -> tuple[str, Any] | None:
    """Find an installed feature outside the job that would own something; return its name and an object of it.

    Args:
        redact: masks secrets in what is logged.
    """
    active = list(active)
    for name, feature in discover(environ).items():
        if name in active:
            continue
        try:
            plugin = feature.make()
            if hasattr(plugin, hook) and owns(plugin):
                return name, plugin
        except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything, and is not what the error is about
            trace = describe_error(error, redact)
            _log.debug("The feature %r could not be asked what it owns.\n%s", name, trace)
    return None


def collections_in(module: ModuleType) -> Iterator[object]:
    """Return the public objects of a job module that a plugin may take, such as its ``Pipes()``."""
    for name, value in list(vars(module).items()):
        if not name.startswith("_") and not isinstance(value, (ModuleType, type)) and not callable(value):
            yield value


class Mounted:
    """The collections that an App has taken, so that what several modules import is taken once.

    They are distinguished by identity, and kept: the id of an object that is gone may be that of the next.
    """

    def __init__(self) -> None:
        self._taken: dict[int, tuple[object, int | None]] = {}

    def __contains__(self, collection: object) -> bool:
        """Whether it was taken, and holds no more than it did then."""
        known = self._taken.get(id(collection))
        return known is not None and known[1] == _size(collection)

    def add(self, collection: object) -> None:
        self._taken[id(collection)] = collection, _size(collection)


def _size(collection: object) -> int | None:
    return len(collection) if hasattr(type(collection), "__len__") else None  # type: ignore[arg-type]
