"""Settings in layers: defaults < job file < environment < command line, each value with its origin.

Sections are pydantic models. A wrong key or value is reported with the place that it came from and, for a
key, with near matches.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from kindling_core.config_layers import KeyPath, Layer, Value, leaves
from kindling_core.errors import ConfigError, did_you_mean
from kindling_core.secrets import MASK, Redactor, is_secret_name, url_passwords

if sys.version_info >= (3, 11):
    pass
else:
    pass

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """Base of a section's model: unknown keys are errors, values do not change.

    Attributes:
        affects_rows: whether what a run writes may depend on it; a run is not resumed with other values of those.
    """

    affects_rows: ClassVar[bool] = True
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Setting:
    """One resolved setting, ready to be shown; a secret value is already masked."""

    key: str
    value: Any
    origin: str


class Config:
    """The resolved settings of one App."""

    def __init__(self, layers: Iterable[Layer], environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        merged: dict[KeyPath, Value] = {}
        for layer in layers:
            for key, value in layer.items():
                # A later table replaces an earlier plain value at the same place, and the other way round.
                for other in [other for other in merged if other[: len(key)] == key or key[: len(other)] == other]:
                    if other != key:
                        del merged[other]
                merged[key] = value
        self._secrets: set[str] = set()
        self._values = {key: self._filled(key, value, environ) for key, value in merged.items()}
        self._sections: dict[str, BaseModel] = {}
        self.redact = Redactor(self._secrets)

    def section_names(self) -> list[str]:
        """The sections that some layer names."""
        return list(dict.fromkeys(key[0] for key in self._values))

    def origin_of_section(self, name: str) -> str:
        """Where a section was first named."""
        return next(value.origin for key, value in self._values.items() if key[0] == name)

    def resolve(self, name: str, model: type[Model]) -> Model:
        """Validate one section and keep it.

        Raises:
            ConfigError: an unknown key or a value of the wrong kind, with its origin.
        """
        data: dict[str, Any] = {}
        for key, value in self._values.items():
            if key[0] != name:
                continue
            if len(key) == 1:
                raise ConfigError(f"{value.origin}: {name!r} is a section; write [{name}] and its keys below it.")
            target = data
            for part in key[1:-1]:
                target = target.setdefault(part, {})
            target[key[-1]] = value.value
        if model.model_config.get("extra") != "allow":
            self._refuse_unknown_keys(name, model, data)
        try:
            section = model.model_validate(data)
        except ValidationError as error:
            raise ConfigError(self._explain(name, model, error)) from None
        self._sections[name] = section
        self._learn_secret_fields(section)
        return section

    def section(self, name: str) -> Any:
        """Return a resolved section.

        Raises:
            ConfigError: no active feature owns a section of this name.
        """
        try:
            return self._sections[name]
        except KeyError:
            raise ConfigError(f"No section {name!r} here.{did_you_mean(name, self._sections)}") from None

    def settings(self) -> list[Setting]:
        """Each setting of each section with its value and origin; secrets are masked."""
        found = []
        for name, section in self._sections.items():
            for key, value in leaves(section.model_dump(), (name,)):
                given = self._value_at(key)
                masked = isinstance(value, SecretStr) or is_secret_name(key[-1]) or (given is not None and given.secret)
                shown = MASK if masked and value is not None else self._shown(value)
                found.append(Setting(".".join(key), shown, given.origin if given else "default"))
        return found

    def dependencies(self) -> list[tuple[str, str, bool]]:
        """What rows may depend on: each setting, its value as text, and whether that is secret; not masked."""
        found = []
        for name, section in self._sections.items():
            if not getattr(section, "affects_rows", True):
                continue
            for key, value in leaves(section.model_dump(), (name,)):
                given = self._value_at(key)
                secret = isinstance(value, SecretStr) or is_secret_name(key[-1]) or (given is not None and given.secret)
                text = value.get_secret_value() if isinstance(value, SecretStr) else repr(value)
                found.append((".".join(key), text, secret))
        return found

    def _shown(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, (list, tuple)):
            return [self._shown(item) for item in value]
        return value if value is None or isinstance(value, (bool, int, float, dict)) else self.redact(str(value))

    def _value_at(self, key: KeyPath) -> Value | None:
        for length in range(len(key), 1, -1):
            if key[:length] in self._values:
                return self._values[key[:length]]
        return None

    def _filled(self, key: KeyPath, value: Value, environ: Mapping[str, str]) -> Value:
        secret = value.secret or is_secret_name(key[-1])
        filled, from_secret = _fill(value.value, environ, value.origin)
        secret = secret or from_secret
        for text in _strings(filled):
            self._secrets.update(url_passwords(text))
            if secret:
                self._secrets.add(text)
        return Value(filled, value.origin, secret)

    def _learn_secret_fields(self, section: BaseModel) -> None:
        for _, value in leaves(section.model_dump()):
            if isinstance(value, SecretStr):
                self._secrets.add(value.get_secret_value())
        self.redact = Redactor(self._secrets)

    def _refuse_unknown_keys(self, name: str, model: type[BaseModel], data: Mapping[str, Any]) -> None:
        known = {field.alias or key for key, field in model.model_fields.items()} | set(model.model_fields)
        for key in data:
            if key not in known:
                value = self._value_at((name, key)) or next(
                    value for path, value in self._values.items() if path[:2] == (name, key)
                )
                raise ConfigError(
                    f"{value.origin}: unknown key {key!r} in section [{name}].{did_you_mean(key, known)}"
                    f" Known keys: {', '.join(sorted(known))}."
                )

    def _explain(self, name: str, model: type[BaseModel], error: ValidationError) -> str:
        told = []
        for detail in error.errors(include_url=False):
            key = (name, *(str(part) for part in detail["loc"]))
            value = self._value_at(key) if len(key) > 1 else None
            origin = value.origin if value else f"section [{name}]"
            given = "" if value is None or value.secret else f" (given: {value.value!r})"
            message = detail["msg"]
            if detail["type"] == "extra_forbidden":
                parent = _nested_model(model, key[1:-1])
                message = "unknown key." + (did_you_mean(key[-1], parent.model_fields) if parent else "")
                given = ""
            # "--set execution.max_workers" names the setting itself.
            setting = ".".join(key)
            where = origin if origin.endswith(setting) else f"{origin}: {setting}"
            told.append(self.redact(f"{where}: {message}{given}"))
        return "\n".join(told)


def _nested_model(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    for part in path:
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        model = annotation
    return model


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


_PLACEHOLDER = re.compile(r"\$(?:(?P<escaped>\$\{)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>:-[^}]*)?\})")


def _fill(value: Any, environ: Mapping[str, str], origin: str) -> tuple[Any, bool]:
    """Replace ``${NAME}`` and ``${NAME:-default}``; ``$${`` stands for ``${``. Tell whether a secret went in."""
    if isinstance(value, list):
        filled = [_fill(item, environ, origin) for item in value]
        return [item for item, _ in filled], any(secret for _, secret in filled)
    if not isinstance(value, str):
        return value, False
    secret = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal secret
        if match["escaped"]:
            return "${"
        name, rest = match["name"], match["rest"]
        secret = secret or is_secret_name(name)
        if name in environ:
            return environ[name]
        if rest is not None:
            return str(rest[2:])
        raise ConfigError(
            f"{origin}: ${{{name}}} is not set in the environment.{did_you_mean(name, environ)} "
            f"Set it, or give a default: ${{{name}:-value}}."
        )

    return _PLACEHOLDER.sub(replacement, value), secret
