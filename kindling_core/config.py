"""Settings in layers: defaults < job file < environment < command line, each value with its origin.

Sections are pydantic models. A wrong key or value is reported with the place that it came from and, for a
key, with near matches.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from kindling_core.errors import ConfigError, did_you_mean
from kindling_core.secrets import MASK, Redactor, is_secret_name, url_passwords

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Path_ = tuple[str, ...]
Model = TypeVar("Model", bound=BaseModel)

ENVIRONMENT_PREFIX = "KINDLING_"


class Section(BaseModel):
    """Base of a section's model: unknown keys are errors, values do not change.

    Attributes:
        affects_rows: whether what a run writes may depend on it; a run is not resumed with other values of those.
    """

    affects_rows: ClassVar[bool] = True
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobSection(Section):
    """``[job]``: what runs, and the features that it runs with."""

    name: str = Field("job", description="the job's name in reports and pictures")
    modules: list[str] = Field([], description="Python modules that hold the pipes and entities")
    features: list[str] = Field([], description="the plugins that are active in this job")


class SignalsSection(Section):
    """``[signals]``."""

    affects_rows: ClassVar[bool] = False
    strict: bool = Field(False, description="raise when a receiver fails or a signal is misused")


class RetrySection(Section):
    """``[execution.retry]``, see ``RetryPolicy``."""

    attempts: int = Field(1, ge=1, description="how often a pipe is tried")
    delay_seconds: float = Field(1.0, ge=0, description="before the second attempt")
    backoff_multiplier: float = Field(2.0, ge=1, description="how much longer each further delay is")
    max_delay_seconds: float = Field(60.0, ge=0, description="the longest delay")
    jitter: float = Field(0.5, ge=0, le=1, description="the part of a delay that is left to chance")


class ExecutionSection(Section):
    """``[execution]``."""

    affects_rows: ClassVar[bool] = False
    max_workers: int = Field(4, ge=1, description="pipes that run at the same time")
    schedule: Literal["ready", "generation"] = Field(
        "ready", description="a pipe starts once its last producer has ended, or once its generation may"
    )
    on_failure: Literal["skip_downstream", "fail_fast"] = Field(
        "skip_downstream", description="what a failed pipe means: what depends on it is skipped, or nothing new starts"
    )
    retry: RetrySection = Field(
        default_factory=lambda: RetrySection.model_validate({}), description="of each pipe, but for its own option"
    )
    timeout_seconds: float | None = Field(None, gt=0, description="how long a run may take")
    pipe_timeout_seconds: float | None = Field(None, gt=0, description="how long an attempt at a pipe may take")
    grace_seconds: float = Field(2.0, ge=0, description="how long what is told to stop may take to")
    pools: dict[str, Annotated[int, Field(ge=1)]] = Field({}, description="pool -> its pipes that run at a time")
    cache: Literal["auto", "always", "never"] = Field(
        "auto", description="keep what several pipes read in memory: where it pays, always, never"
    )


@dataclass(frozen=True)
class Value:
    """One setting as it was given.

    Attributes:
        origin: for people, such as ``kindling.toml:7`` or ``environment KINDLING_ENTITIES__ROOT``.
        secret: it, or a part of it, came from an environment variable that is named like a secret.
    """

    value: Any
    origin: str
    secret: bool = False


Layer = Mapping[Path_, Value]


@dataclass(frozen=True)
class Setting:
    """One resolved setting, ready to be shown; a secret value is already masked."""

    key: str
    value: Any
    origin: str


def file_layer(path: Path) -> dict[Path_, Value]:
    """Read a TOML job file.

    Raises:
        ConfigError: it is missing, unreadable or no TOML (with the line).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"No job file at {path}. Make a project with `kindling init`, or name the file with --job."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The job file {path} cannot be read: {error}.") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The job file {path} is not valid TOML: {error}.") from error
    lines = _key_lines(text)

    def origin(key: Path_) -> str:
        for length in range(len(key), 0, -1):
            if key[:length] in lines:
                return f"{path.name}:{lines[key[:length]]}"
        return path.name

    return {key: Value(value, origin(key)) for key, value in _leaves(data)}


def mapping_layer(data: Mapping[str, Any], origin: str) -> dict[Path_, Value]:
    """Make a layer of nested dicts, as given to ``App(config=...)``."""
    return {key: Value(value, origin) for key, value in _leaves(data)}


def environment_layer(environ: Mapping[str, str]) -> dict[Path_, Value]:
    """Collect ``KINDLING_SECTION__KEY`` variables; one underscore pair separates each level."""
    layer: dict[Path_, Value] = {}
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            key = tuple(part.lower() for part in name[len(ENVIRONMENT_PREFIX) :].split("__"))
            layer[key] = Value(_literal(text), f"environment {name}", secret=is_secret_name(name))
    return layer


def override_layer(assignments: Sequence[str]) -> dict[Path_, Value]:
    """Parse ``section.key=value`` assignments of the command line.

    Raises:
        ConfigError: an assignment has no ``=`` or no section.
    """
    layer: dict[Path_, Value] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        key = tuple(name.strip().split("."))
        if not equals or len(key) < 2 or not all(key):
            raise ConfigError(f"--set {assignment!r}: write it as section.key=value.")
        layer[key] = Value(_literal(text), f"--set {name.strip()}", secret=is_secret_name(name))
    return layer


class Config:
    """The resolved settings of one App."""

    def __init__(self, layers: Iterable[Layer], environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        merged: dict[Path_, Value] = {}
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
            for key, value in _leaves(section.model_dump(), (name,)):
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
            for key, value in _leaves(section.model_dump(), (name,)):
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

    def _value_at(self, key: Path_) -> Value | None:
        for length in range(len(key), 1, -1):
            if key[:length] in self._values:
                return self._values[key[:length]]
        return None

    def _filled(self, key: Path_, value: Value, environ: Mapping[str, str]) -> Value:
        secret = value.secret or is_secret_name(key[-1])
        filled, from_secret = _fill(value.value, environ, value.origin)
        secret = secret or from_secret
        for text in _strings(filled):
            self._secrets.update(url_passwords(text))
            if secret:
                self._secrets.add(text)
        return Value(filled, value.origin, secret)

    def _learn_secret_fields(self, section: BaseModel) -> None:
        for _, value in _leaves(section.model_dump()):
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


def _nested_model(model: type[BaseModel], path: Path_) -> type[BaseModel] | None:
    for part in path:
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        model = annotation
    return model


def _leaves(data: Mapping[str, Any], prefix: Path_ = ()) -> Iterable[tuple[Path_, Any]]:
    for key, value in data.items():
        path = (*prefix, str(key))
        if isinstance(value, Mapping) and (value or len(path) == 1):
            yield from _leaves(value, path)
        else:
            yield path, value


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


def _literal(text: str) -> Any:
    """Lists, tables and quoted strings are TOML; anything else stays text for the model to convert."""
    if text[:1] in ("[", "{", '"', "'"):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


_HEADER = re.compile(r"^\s*\[{1,2}\s*(?P<name>[^\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"^\s*(?P<key>[A-Za-z0-9_.\-\"' ]+?)\s*=")


def _key_lines(text: str) -> dict[Path_, int]:
    """Find the line of each key of a valid TOML text; the standard parser does not tell."""
    lines: dict[Path_, int] = {}
    table: Path_ = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _dotted(header["name"])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_dotted(key["key"])), number)
    return lines


def _dotted(name: str) -> Path_:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
