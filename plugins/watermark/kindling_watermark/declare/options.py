"""The options of an incremental pipe: read from its declaration, and checked by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kindling_core import PipeDefinitionError, PipeMetadata
from kindling_core.errors import did_you_mean
from kindling_watermark.ranges.cursors import Cursor
from kindling_watermark.ranges.news import Limits

APPENDS, CHANGES, AFFECTED, CURSOR = "appends", "changes", "affected", "cursor"
MODES = (APPENDS, CHANGES, AFFECTED)
FAIL, FULL_REFRESH, IGNORE = "fail", "full_refresh", "ignore"
POLICIES = (FAIL, FULL_REFRESH, IGNORE)
_CURSOR = (CURSOR, "lateness", "tie_break")
_INTERVAL = re.compile(r"\d+ (?:second|minute|hour|day|week)s?")
_LIMITS = ("max_versions", "max_rows", "max_bytes")
OPTIONS = {
    "incremental": "input -> 'appends', 'changes', 'affected', or {'cursor': column}: what of it is read",
    "affected_by": "input -> columns by which its rows belong together, or {main input's column: its column}",
    "max_versions": "read at most so many versions of an input at a time",
    "max_rows": "read at most about so many rows of an input at a time",
    "max_bytes": "read at most about so many bytes of an input at a time",
    "on_rewrite": "'fail', 'full_refresh' or 'ignore': what to do where an input was rewritten or removed",
}


@dataclass(frozen=True)
class Declaration:
    """An incremental pipe as it was declared.

    Attributes:
        reader_id: the pipe.
        output: the entity that it writes.
        modes: source -> "appends", "changes" or "affected".
        own_keys: source -> its columns by which rows belong together, of those that have them themselves.
        met_by: source -> (column of the main input, its own column) pairs, of those whose rows the main input meets.
        cursors: source -> how it is read on, of those with the mode "cursor".
        limits: how much is read at a time.
        on_rewrite: "fail", "full_refresh" or "ignore".
    """

    reader_id: str
    output: str
    modes: Mapping[str, str]
    own_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    met_by: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    on_rewrite: str = FAIL

    @property
    def affected(self) -> bool:
        """Whether the keys that were touched are computed anew."""
        return AFFECTED in self.modes.values()

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns by which rows belong together; empty unless ``affected``."""
        return next(iter(self.own_keys.values()), ())


def declared(pipe: PipeMetadata) -> Declaration | None:
    """Read the options of a pipe; None if it is not incremental.

    Raises:
        PipeDefinitionError: an option is wrong, whatever its entities are.
    """
    options = {name: pipe.options[name] for name in OPTIONS if name in pipe.options}
    if not options:
        return None
    if "incremental" not in options:
        raise wrong(pipe, f"{_named(options)} belong to an incremental pipe. Add incremental={{input: 'appends'}}")
    modes, cursors = _modes(pipe, options["incremental"])
    if pipe.mode != "batch":
        raise wrong(pipe, "a streaming pipe has a checkpoint of its own. Leave out incremental, or the mode")
    if pipe.output_entity_id is None:
        raise wrong(pipe, "without an output nothing tells what is done. Declare output=..., or leave incremental out")
    affected = {name for name, mode in modes.items() if mode == AFFECTED}
    if affected and len(affected) < len(modes):
        raise wrong(pipe, "'affected' reads whole inputs, so it does not go with others. Use it for each, or for none")
    own_keys, met_by = _affected_by(pipe, options.get("affected_by"), affected)
    limits = Limits(**{name: _positive(pipe, name, options[name]) for name in _LIMITS if name in options})
    if cursors and limits:
        raise wrong(pipe, f"{_named(options, _LIMITS)} and a cursor: slices are of versions. Leave one out")
    if affected and limits:
        raise wrong(pipe, f"{_named(options, _LIMITS)} and 'affected': whole inputs have no slices. Leave one out")
    policy = options.get("on_rewrite", FAIL)
    if policy not in POLICIES:
        raise wrong(
            pipe, f"on_rewrite is {policy!r}, not one of {', '.join(map(repr, POLICIES))}{near(policy, POLICIES)}"
        )
    return Declaration(pipe.pipe_id, pipe.output_entity_id, modes, own_keys, met_by, cursors, limits, policy)


def _modes(pipe: PipeMetadata, given: object) -> tuple[dict[str, str], dict[str, Cursor]]:
    if not isinstance(given, Mapping) or not given:
        raise wrong(pipe, f"incremental is {given!r}; give a mapping such as {{'bronze.orders': 'appends'}}")
    modes: dict[str, str] = {}
    cursors: dict[str, Cursor] = {}
    for source, mode in given.items():
        _input(pipe, "incremental", source)
        if isinstance(mode, Mapping):
            modes[source], cursors[source] = CURSOR, _cursor(pipe, source, mode)
            continue
        if mode not in MODES:
            raise wrong(pipe, f"incremental of {source!r} is {mode!r}, not one of {_listed(MODES)}{near(mode, MODES)}")
        modes[source] = mode
    return modes, cursors


def _cursor(pipe: PipeMetadata, source: str, given: Mapping[Any, Any]) -> Cursor:
    about = f"incremental of {source!r}"
    for name in given:
        if name not in _CURSOR:
            raise wrong(pipe, f"{about} has {name!r}, not one of {_listed(_CURSOR)}{near(name, _CURSOR)}")
    column, lateness, tie_break = given.get(CURSOR), given.get("lateness"), given.get("tie_break", ())
    if not isinstance(column, str) or not column:
        raise wrong(pipe, f"{about} needs {{'cursor': column}}: the column that grows with each new or changed row")
    if isinstance(lateness, str):
        if not _INTERVAL.fullmatch(lateness):
            raise wrong(pipe, f"lateness of {source!r} is {lateness!r}; give a number, or a time such as '2 hours'")
    elif lateness is not None and (not isinstance(lateness, (int, float)) or lateness < 0):
        raise wrong(pipe, f"lateness of {source!r} is {lateness!r}; give a number, or a time such as '2 hours'")
    names = (tie_break,) if isinstance(tie_break, str) else tuple(tie_break)
    return Cursor(column, lateness, names)


def _affected_by(
    pipe: PipeMetadata, given: object, affected: set[str]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[tuple[str, str], ...]]]:
    if given is None and not affected:
        return {}, {}
    if not affected:
        raise wrong(pipe, "affected_by belongs to inputs with incremental={...: 'affected'}")
    if not isinstance(given, Mapping):
        raise wrong(pipe, "'affected' needs affected_by={input: [columns]}: by which columns rows belong together")
    own: dict[str, tuple[str, ...]] = {}
    met: dict[str, tuple[tuple[str, str], ...]] = {}
    for source, by in given.items():
        _input(pipe, "affected_by", source)
        if source not in affected:
            raise wrong(pipe, f"affected_by names {source!r}, whose incremental is not 'affected'")
        if isinstance(by, Mapping) and by and all(isinstance(one, str) for pair in by.items() for one in pair):
            met[source] = tuple(by.items())
        elif isinstance(by, Sequence) and by and not isinstance(by, str) and all(isinstance(one, str) for one in by):
            own[source] = tuple(by)
        else:
            raise wrong(pipe, f"affected_by of {source!r} is {by!r}; give [columns] or {{main column: its column}}")
    missing = sorted(affected - set(given))
    if missing:
        raise wrong(pipe, f"affected_by lacks {', '.join(map(repr, missing))}")
    if not own:
        raise wrong(pipe, "affected_by gives no input [columns] of its own, so nothing says which rows belong together")
    if len(set(own.values())) > 1:
        told = "; ".join(f"{source!r}: {list(by)}" for source, by in own.items())
        raise wrong(pipe, f"affected_by gives inputs different columns of their own ({told}). Give them the same")
    return own, met


def _input(pipe: PipeMetadata, option: str, source: object) -> None:
    if source not in pipe.input_entity_ids:
        known = near(source, pipe.input_entity_ids)
        raise wrong(pipe, f"{option} names {source!r}, which is not one of its inputs{known}")
    if "@" in str(source):
        raise wrong(pipe, f"{source!r} is one version, in which nothing is ever new. Leave out '@...', or incremental")


def _positive(pipe: PipeMetadata, name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise wrong(pipe, f"{name} is {value!r}, not a whole number of at least 1")
    return value


def _named(options: Mapping[str, Any], among: Sequence[str] = tuple(OPTIONS)) -> str:
    return ", ".join(name for name in among if name in options)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def near(given: object, known: Iterable[str]) -> str:
    """Near matches of a name, for the end of a message."""
    found = did_you_mean(str(given), known)
    return f".{found}" if found else ""


def wrong(pipe: PipeMetadata, message: str) -> PipeDefinitionError:
    """Word an error of a declaration, with its place."""
    ending = "" if message.endswith("?") else "."
    return PipeDefinitionError(f"Pipe {pipe.pipe_id!r} ({pipe.location}): {message}{ending}")
