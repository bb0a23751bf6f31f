"""Settings in layers: defaults < job file < environment < command line, each value with its origin.

Sections are pydantic models. A wrong key or value is reported with the place that it came from and, for a
key, with near matches.
"""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr, ValidationError

from kindling_core.config_layers import KeyPath, Layer, Value, leaves
from kindling_core.errors import ConfigError, did_you_mean
from kindling_core.secrets import MASK, Redactor, is_secret_name, is_secret_variable, secrets_in

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
    """A resolved setting, ready to be shown; a secret value is already masked."""

    key: str
    value: Any
    origin: str


class Config:
    """The resolved settings of an App."""

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
        # Those that the models of their sections mark.
        self._secret_keys: set[KeyPath] = set()
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
        """Validate a section and keep it.

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
        self._learn_marked(model, data, (name,))
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
                origin = given.origin if given else "default"
                found.append(Setting(".".join(key), self._shown(key, value, given), origin))
        return found

    def dependencies(self) -> list[tuple[str, str, bool]]:
        """What rows may depend on: each setting, its value as text, and whether that is secret; not masked."""
        found = []
        for name, section in self._sections.items():
            if not getattr(section, "affects_rows", True):
                continue
            for key, value in leaves(section.model_dump(), (name,)):
                text = _plain(value) if isinstance(value, (SecretStr, SecretBytes)) else repr(value)
                found.append((".".join(key), text, self._is_secret(key, value, self._value_at(key))))
        return found

    def _is_secret(self, key: KeyPath, value: Any, given: Value | None = None) -> bool:
        marked = any(key[:length] in self._secret_keys for length in range(1, len(key) + 1))
        secret = marked or isinstance(value, (SecretStr, SecretBytes)) or is_secret_name(".".join(key))
        return secret or (given is not None and given.secret)

    def _shown(self, key: KeyPath, value: Any, given: Value | None = None) -> Any:
        """Return a value as it may be shown: whole secrets masked, and those within texts, lists and tables."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Mapping):
            return {name: self._shown((*key, str(name)), item, given) for name, item in value.items()}
        if self._is_secret(key, value, given):
            return MASK
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._shown(key, item) for item in value]
        return value if isinstance(value, (int, float)) else self.redact(str(value))

    def _value_at(self, key: KeyPath) -> Value | None:
        for length in range(len(key), 1, -1):
            if key[:length] in self._values:
                return self._values[key[:length]]
        # A model may join tables to one dotted name, as that of the options of Spark does.
        name = ".".join(key)
        return next((value for path, value in self._values.items() if ".".join(path) == name), None)

    def _filled(self, key: KeyPath, value: Value, environ: Mapping[str, str]) -> Value:
        filled, filled_in = _fill(value.value, environ, value.origin)
        self._secrets.update(filled_in)
        secret = value.secret or is_secret_name(".".join(key)) or bool(filled_in)
        self._learn(filled, secret, key)
        return Value(filled, value.origin, secret)

    def _learn(self, value: Any, secret: bool, key: KeyPath = ()) -> None:
        """Remember what of a value must not be shown anywhere."""
        if isinstance(value, (SecretStr, SecretBytes)):
            value, secret = _plain(value), True
        if isinstance(value, str):
            self._secrets.update(secrets_in(value))
            # The parts of a URL are decoded by whoever uses it, and may be shown so.
            self._secrets.update(unquote(found) for found in secrets_in(value) if "%" in found)
            if secret:
                self._secrets.add(value)
        elif isinstance(value, Mapping):
            for name, item in value.items():
                path = (*key, str(name))
                self._learn(item, secret or is_secret_name(".".join(path)), path)
        elif isinstance(value, (list, tuple, set, frozenset)):
            for item in value:
                self._learn(item, secret, key)
        elif secret and isinstance(value, (int, float)) and not isinstance(value, bool):
            self._secrets.add(str(value))

    def _learn_marked(self, model: type[BaseModel], data: Mapping[str, Any], key: KeyPath) -> None:
        """Learn what a model marks as secret before it is validated, so that no error shows it."""
        for name, field in model.model_fields.items():
            for given in dict.fromkeys((name, field.alias, field.validation_alias)):
                if isinstance(given, str) and given in data:
                    self._learn_typed(field.annotation, data[given], (*key, given))
        self.redact = Redactor(self._secrets)

    def _learn_typed(self, annotation: Any, value: Any, key: KeyPath) -> None:
        if isinstance(annotation, type) and issubclass(annotation, (SecretStr, SecretBytes)):
            self._secret_keys.add(key)
            self._learn(value, True, key)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if isinstance(value, Mapping):
                self._learn_marked(annotation, value, key)
        elif isinstance(value, Mapping) and issubclass(typing.get_origin(annotation) or object, Mapping):
            for name, item in value.items():
                self._learn_typed(typing.get_args(annotation)[-1], item, (*key, str(name)))
        else:
            # Lists, unions and annotations are looked through; what they hold stands at the same key.
            items = value if isinstance(value, list) else [value]
            for argument in typing.get_args(annotation):
                for item in items:
                    self._learn_typed(argument, item, key)

    def _learn_secret_fields(self, section: BaseModel) -> None:
        self._learn(section.model_dump(), False)
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
        lines = []
        for detail in error.errors(include_url=False):
            key = (name, *(str(part) for part in detail["loc"]))
            value = self._value_at(key) if len(key) > 1 else None
            origin = value.origin if value else f"section [{name}]"
            given = "" if value is None else f" (given: {self._shown(key, value.value, value)!r})"
            if value is None or self._is_secret(key, value.value, value):
                given = ""
            message = detail["msg"]
            if detail["type"] == "extra_forbidden":
                parent = _nested_model(model, key[1:-1])
                message = "unknown key." + (did_you_mean(key[-1], parent.model_fields) if parent else "")
                given = ""
            # "--set execution.max_workers" names the setting itself.
            setting = ".".join(key)
            where = origin if origin.endswith(setting) else f"{origin}: {setting}"
            lines.append(self.redact(f"{where}: {message}{given}"))
        return "\n".join(lines)


def _nested_model(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    for part in path:
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        model = annotation
    return model


def _plain(value: SecretStr | SecretBytes) -> str:
    given = value.get_secret_value()
    return given.decode("utf-8", "replace") if isinstance(given, bytes) else given


_PLACEHOLDER = re.compile(r"\$(?:(?P<escaped>\$\{)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>:-[^}]*)?\})")


def _fill(value: Any, environ: Mapping[str, str], origin: str) -> tuple[Any, list[str]]:
    """Replace ``${NAME}`` and ``${NAME:-default}``; ``$${`` stands for ``${``. Return the secrets that went in, too."""
    secrets: list[str] = []
    if isinstance(value, list):
        filled = [_fill(item, environ, origin) for item in value]
        return [item for item, _ in filled], [secret for _, found in filled for secret in found]
    if isinstance(value, Mapping):
        items = {name: _fill(item, environ, origin) for name, item in value.items()}
        return (
            {name: item for name, (item, _) in items.items()},
            [secret for _, found in items.values() for secret in found],
        )
    if not isinstance(value, str):
        return value, secrets

    def replacement(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "${"
        name, rest = match["name"], match["rest"]
        if name not in environ and rest is None:
            raise ConfigError(
                f"{origin}: ${{{name}}} is not set in the environment.{did_you_mean(name, environ)} "
                f"Set it, or give a default: ${{{name}:-value}}."
            )
        text = environ[name] if name in environ else str(rest[2:])
        if is_secret_variable(name):
            secrets.append(text)
        return text

    return _PLACEHOLDER.sub(replacement, value), secrets
