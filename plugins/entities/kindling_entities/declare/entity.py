"""Declarations of entities: what a table is called, how it is written, where it lies."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kindling_core.errors import did_you_mean
from kindling_entities.declare.expectations import QUARANTINE_SUFFIX, Expectation
from kindling_entities.declare.maintenance_policy import MaintenancePolicy
from kindling_entities.declare.names import no_column, no_partition, same_but_for_case
from kindling_entities.declare.reserved import QUARANTINE_KEY, taken
from kindling_entities.errors import EntityDefinitionError

if TYPE_CHECKING:
    import pyarrow as pa

WRITE_MODES = ("overwrite", "append", "merge")
OVERWRITE_SCOPES = ("table", "partitions")
SCHEMA_POLICIES = ("evolve", "warn", "fail")
MISSING_ROWS = ("keep", "delete", "close")

# An id becomes a path below the root, so it must not climb out of it.
_ENTITY_ID = re.compile(r"[A-Za-z0-9_][\w\-]*(\.[A-Za-z0-9_][\w\-]*)*")


@dataclass(frozen=True)
class EntityDefinition:
    """An entity as it was declared.

    Attributes:
        entity_id: ``layer.name``.
        columns: column -> type such as ``"bigint"``; empty means that whatever is written fits. A csv
            or json source may name fewer columns than the file has: the others of csv are text.
        keys: columns that identify a row; a merge matches on them.
        partition_columns: in the order in which they nest.
        cluster_by: columns that Delta's liquid clustering keeps together; on an engine without it, what
            ``kindling maintain`` orders by.
        provider: the kind of storage: delta, parquet, csv, json, memory, or a third party's.
        write_mode: "overwrite", "append" or "merge".
        overwrite_scope: "table", or "partitions" to replace only the partitions that a frame has rows for.
        schema_policy: what happens when a frame's columns differ: "evolve" adopts, "warn" adopts and
            logs, "fail" raises before anything is written.
        scd: 2 keeps a history (``valid_from``, ``valid_to``, ``is_current``, ``row_hash``); 1 is a plain merge.
        track: columns whose change begins a new row of the history; default: all but keys and sequence.
        sequence_by: column that orders the changes of a key, so that an older change never replaces a newer; default:
            the time of the write.
        delete_when: SQL over the frame's columns; a row for which it holds deletes its key, or closes its history.
        missing_rows: what becomes of rows whose key a frame lacks: "keep"; of a full snapshot "delete" (a merge), or
            "close" (a history).
        surrogate_key: column to add that identifies a row of the history.
        path: where it lies; relative to the job file. Default: the root, then the parts of the id.
        read_only: a source; writing to it is refused.
        expectations: made by ``expect``, ``unique`` and the others; evaluated when the entity is written.
        options: for the provider, such as ``delimiter``.
        maintenance: the fields of ``MaintenancePolicy``, such as ``{"order_by": ["carrier"]}``.
        location: "module:line" of the declaration, where known.
    """

    entity_id: str
    columns: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    partition_columns: tuple[str, ...] = ()
    cluster_by: tuple[str, ...] = ()
    provider: str = "delta"
    write_mode: str = "overwrite"
    overwrite_scope: str = "table"
    schema_policy: str = "evolve"
    scd: int | None = None
    track: tuple[str, ...] = ()
    sequence_by: str | None = None
    delete_when: str | None = None
    missing_rows: str = "keep"
    surrogate_key: str | None = None
    path: str | None = None
    read_only: bool = False
    expectations: tuple[Expectation, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    maintenance: Mapping[str, Any] = field(default_factory=dict)
    location: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("keys", "partition_columns", "cluster_by", "track"):
            object.__setattr__(self, name, self._names(name))
        given: object = self.expectations
        object.__setattr__(
            self, "expectations", (given,) if isinstance(given, Expectation) else tuple(self.expectations)
        )
        tags: object = self.tags
        if not isinstance(tags, Mapping):
            object.__setattr__(self, "tags", dict.fromkeys(self.tags, ""))
        if self.path is not None:
            object.__setattr__(self, "path", str(self.path))
        if self.scd in (1, 2):
            object.__setattr__(self, "write_mode", "merge")
        self._check()

    def _names(self, name: str) -> tuple[str, ...]:
        value = getattr(self, name)
        names = (value,) if isinstance(value, str) else tuple(value)
        if same_but_for_case(names) is not None:
            raise self.wrong(f"{name} names a column twice: {', '.join(names)}")
        return names

    def _check(self) -> None:
        if not isinstance(self.entity_id, str) or not _ENTITY_ID.fullmatch(self.entity_id):
            raise self.wrong("an entity id is made of letters, digits, '_' and '-', in parts joined by '.'")
        self._one_of("write_mode", WRITE_MODES)
        self._one_of("overwrite_scope", OVERWRITE_SCOPES)
        self._one_of("schema_policy", SCHEMA_POLICIES)
        if self.write_mode == "merge" and not self.keys:
            raise self.wrong("write_mode 'merge' needs keys; name the columns that identify a row")
        if self.overwrite_scope == "partitions" and not self.partition_columns:
            raise self.wrong("overwrite_scope 'partitions' needs partition_columns")
        if self.overwrite_scope == "partitions" and self.write_mode != "overwrite":
            raise self.wrong(f"overwrite_scope 'partitions' does not go with write_mode {self.write_mode!r}")
        if self.cluster_by and self.partition_columns:
            raise self.wrong("a table has either partition_columns or cluster_by. Leave one out")
        self._check_names()
        self._check_history()
        self._check_expectations()
        try:
            policy = MaintenancePolicy.of(self.maintenance)
        except (TypeError, ValueError) as error:
            raise self.wrong(str(error)) from None
        if self.columns and not self.read_only:
            for name in (*self.keys, *self.partition_columns, *self.cluster_by, *policy.order_by):
                if name not in self.columns:
                    raise self.wrong(f"{name!r} is not one of its columns.{did_you_mean(name, self.columns)}")

    def _check_names(self) -> None:
        same = same_but_for_case(self.columns)
        if same is not None:
            raise self.wrong(
                f"columns {same[0]!r} and {same[1]!r} are one name to a table, which ignores case. Rename one"
            )
        for name in (*self.columns, *self.keys, *self.partition_columns, *self.cluster_by):
            why = no_column(name) or (no_partition(name) if name in self.partition_columns else None)
            if why is not None:
                raise self.wrong(f"column {name!r}: {why}")

    def _check_history(self) -> None:
        if self.scd not in (None, 1, 2):
            raise self.wrong(f"scd is {self.scd!r}; 1 (the newest values) or 2 (a history) can be kept")
        self._one_of("missing_rows", MISSING_ROWS)
        if self.scd != 2:
            for name in ("track", "surrogate_key"):
                if getattr(self, name):
                    raise self.wrong(f"{name} belongs to a history; declare scd=2")
            if self.write_mode != "merge":
                for name in ("sequence_by", "delete_when"):
                    if getattr(self, name):
                        raise self.wrong(
                            f"{name} belongs to a merge; declare write_mode='merge', or scd=2 for a history"
                        )
        self._check_missing_rows()
        if not self.ordered and self.scd != 2:
            return
        for name in (*self.track, *([self.sequence_by] if self.sequence_by else [])):
            if self.columns and name not in self.columns:
                raise self.wrong(f"{name!r} is not one of its columns.{did_you_mean(name, self.columns)}")
        if self.sequence_by in self.keys:
            raise self.wrong(
                f"sequence_by {self.sequence_by!r} is one of its keys, so that no row would replace another"
            )
        if self.surrogate_key and taken([self.surrogate_key], replace(self, surrogate_key=None)):
            raise self.wrong(f"surrogate_key {self.surrogate_key!r} has the name of another column that scd=2 makes")
        reserved = taken([*self.columns, *self.keys], self)
        if reserved:
            raise self.wrong(f"column(s) {', '.join(map(repr, reserved))} are made by its merges. Rename them")

    def _check_missing_rows(self) -> None:
        if self.missing_rows == "keep":
            return
        if self.missing_rows == "close" and self.scd != 2:
            raise self.wrong("missing_rows 'close' belongs to a history; declare scd=2, or use 'delete'")
        if self.missing_rows == "delete" and self.scd == 2:
            raise self.wrong("missing_rows 'delete' would lose the history; use 'close'")
        if self.missing_rows == "delete" and self.write_mode != "merge":
            raise self.wrong(f"missing_rows 'delete' does not go with write_mode {self.write_mode!r}; use 'merge'")
        if self.missing_rows == "delete" and self.sequence_by:
            raise self.wrong(
                "missing_rows 'delete' does not go with sequence_by: a row that is missing tells no moment, so an "
                "older snapshot that arrives later would bring rows back. Leave one out, or keep a history with scd=2"
            )

    @property
    def ordered(self) -> bool:
        """Whether a merge does more than to update and insert."""
        return bool(self.sequence_by or self.delete_when) or self.missing_rows != "keep"

    def _check_expectations(self) -> None:
        if self.expectations and self.read_only:
            raise self.wrong("a source is never written, so it has no expectations. Declare them where it is stored")
        names: set[str] = set()
        for expectation in self.expectations:
            if not isinstance(expectation, Expectation):
                raise self.wrong(
                    f"{expectation!r} is no expectation. Make it with expect(...), unique(...) and the like"
                )
            if expectation.name in names:
                raise self.wrong(f"two expectations are called {expectation.name!r}. Give one of them another name")
            names.add(expectation.name)
            for name in expectation.columns:
                if self.columns and name not in self.columns:
                    raise self.wrong(
                        f"expectation {expectation.name!r}: {name!r} is not one of its columns."
                        f"{did_you_mean(name, self.columns)}"
                    )

    @property
    def quarantine(self) -> EntityDefinition | None:
        """Where rows go that an expectation, or the reading of a source, puts aside; None without such."""
        reading = self.read_only and "quarantine" in (self.options.get("on_bad_row"), self.options.get("on_bad_value"))
        if not reading and not any(expectation.action == "quarantine" for expectation in self.expectations):
            return None
        return self.quarantine_table

    @property
    def quarantine_table(self) -> EntityDefinition:
        """The quarantine as it would be declared; its table may be left from expectations that are gone.

        Which kind of storage keeps it is said by the kind of this entity: see ``DataEntityManager``.
        """
        return EntityDefinition(
            self.entity_id + QUARANTINE_SUFFIX,
            keys=(QUARANTINE_KEY,),
            # What a source reads is a place of others, and may be a pattern.
            path=None if self.path is None or self.read_only else self.path.rstrip("/") + QUARANTINE_SUFFIX,
            tags=self.tags,
            description=f"Rows of {self.entity_id} that could not be read"
            if self.read_only
            else f"Rows that expectations keep out of {self.entity_id}",
            location=self.location,
        )

    def arrow_schema(self) -> pa.Schema:
        """Return the declared columns as Arrow types, in declared order; empty where none are declared.

        Raises:
            SchemaError: a type is unknown.
        """
        from kindling_entities.declare.schema import to_arrow_schema

        return to_arrow_schema(self.columns)

    def _one_of(self, name: str, allowed: Sequence[str]) -> None:
        value = getattr(self, name)
        if value not in allowed:
            raise self.wrong(
                f"{name} is {value!r}, not one of {', '.join(allowed)}.{did_you_mean(str(value), allowed)}"
            )

    def wrong(self, message: str) -> EntityDefinitionError:
        """Word an error of this declaration, with its line."""
        place = f"{self.location}: " if self.location else ""
        return EntityDefinitionError(f"{place}entity {self.entity_id!r}: {message}")

    def resolve(self, root: Path | str, base_dir: Path) -> str:
        """Return where the entity lies: an absolute path (or a glob, for a source of several files), or a URI."""
        if self.path is not None:
            return self.path if "://" in self.path else str(base_dir / Path(self.path).expanduser())
        parts = self.entity_id.split(".")
        return "/".join([root.rstrip("/"), *parts]) if isinstance(root, str) else str(root.joinpath(*parts))


class Entities:
    """The declarations of a module, mounted by an App."""

    def __init__(self) -> None:
        self._definitions: dict[str, EntityDefinition] = {}

    def entity(self, entity_id: str, **declaration: Any) -> EntityDefinition:
        """Declare a table.

        Args:
            declaration: the fields of ``EntityDefinition``.

        Raises:
            EntityDefinitionError: it cannot work, or the id is taken; names the line.
        """
        return self._add(entity_id, declaration, _caller())

    def source(
        self, entity_id: str, path: str | Path | None = None, provider: str = "csv", **declaration: Any
    ) -> EntityDefinition:
        """Declare something that is only read.

        Args:
            path: a file, a folder or a glob; relative to the job file.
            declaration: fields of ``EntityDefinition``; any other keyword is an option of the provider.
        """
        fields = EntityDefinition.__dataclass_fields__
        options = {key: value for key, value in declaration.items() if key not in fields}
        declared = {key: value for key, value in declaration.items() if key in fields}
        declared["options"] = {**declared.get("options", {}), **options}
        declared.update(path=None if path is None else str(path), provider=provider, read_only=True)
        return self._add(entity_id, declared, _caller())

    def _add(self, entity_id: str, declaration: dict[str, Any], location: str) -> EntityDefinition:
        definition = define(entity_id, {"location": location, **declaration})
        other = self._definitions.get(entity_id)
        if other is not None:
            raise duplicate(definition, other)
        self._definitions[entity_id] = definition
        return definition

    def __iter__(self) -> Iterator[EntityDefinition]:
        return iter(self._definitions.values())

    def __len__(self) -> int:
        return len(self._definitions)


def define(entity_id: str, declaration: Mapping[str, Any]) -> EntityDefinition:
    """Make a definition; an unknown keyword is an error with near matches."""
    fields = EntityDefinition.__dataclass_fields__
    for name in declaration:
        if name not in fields:
            place = f"{declaration['location']}: " if declaration.get("location") else ""
            raise EntityDefinitionError(
                f"{place}entity {entity_id!r}: unknown keyword {name!r}.{did_you_mean(name, fields)} "
                f"What the provider needs goes into options={{...}}."
            )
    return EntityDefinition(entity_id, **declaration)


def duplicate(definition: EntityDefinition, other: EntityDefinition) -> EntityDefinitionError:
    """Word the error of an id that is declared twice."""
    return EntityDefinitionError(
        f"Two entities have the id {definition.entity_id!r}: one declared at {other.location or 'unknown place'}, "
        f"one at {definition.location or 'unknown place'}. Rename one."
    )


def _caller() -> str:
    frame = sys._getframe(2)
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
