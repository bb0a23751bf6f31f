"""Expectations: what the rows of an entity must look like, declared beside it and evaluated as it is written.

entities.entity(
    "silver.flights",
    expectations=[
        expect("plausible delay", "dep_delay between -120 and 3000"),
        expect_or_quarantine("has a tail number", "tailnum is not null"),
        unique("flight_id"),
        foreign_key("carrier", "silver.airlines", action="quarantine"),
    ],
)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kindling_core.errors import did_you_mean
from kindling_entities.errors import EntityDefinitionError

ACTIONS = ("warn", "drop", "quarantine", "fail")
QUARANTINE_SUFFIX = "__quarantine"


@dataclass(frozen=True)
class Expectation:
    """An expectation. Made by the functions of this module.

    Attributes:
        name: unique among those of its entity.
        action: what becomes of a row that does not meet it: "warn" keeps and counts it, "drop" leaves it out,
            "quarantine" writes it to ``<entity>__quarantine``, "fail" fails the write with nothing written.
        kind: "condition", "not_null", "unique" or "foreign_key".
        condition: SQL over one row, of kind "condition". Only true meets it; null does not.
        columns: of the other kinds.
        references: entity that a foreign key refers to.
        referenced_columns: its columns, in the order of ``columns``.
    """

    name: str
    action: str = "warn"
    kind: str = "condition"
    condition: str | None = None
    columns: tuple[str, ...] = ()
    references: str | None = None
    referenced_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise EntityDefinitionError(f"{self.name!r} is no name of an expectation. Give it a text.")
        if self.action not in ACTIONS:
            raise EntityDefinitionError(
                f"expectation {self.name!r}: action is {self.action!r}, not one of {', '.join(ACTIONS)}."
                f"{did_you_mean(str(self.action), ACTIONS)}"
            )
        if self.kind == "condition":
            if not isinstance(self.condition, str) or not self.condition.strip():
                raise EntityDefinitionError(f"expectation {self.name!r} has no condition. Give SQL such as 'a > 0'.")
        elif not self.columns:
            raise EntityDefinitionError(f"expectation {self.name!r} names no column.")
        if len(self.columns) != len(self.referenced_columns) and self.references is not None:
            raise EntityDefinitionError(
                f"expectation {self.name!r}: {len(self.columns)} column(s) cannot refer to "
                f"{len(self.referenced_columns)} of {self.references!r}. Name as many on both sides."
            )


@dataclass(frozen=True)
class ExpectationResult:
    """How many rows of a write met an expectation.

    Attributes:
        rows_passed: rows of the frame that met it.
        rows_failed: all other rows of the frame.
    """

    name: str
    action: str
    kind: str
    rows_passed: int
    rows_failed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the report of a run."""
        return asdict(self)


def expect(name: str, condition: str) -> Expectation:
    """Count the rows for which a condition is not true; they are written all the same."""
    return Expectation(name, "warn", condition=condition)


def expect_or_drop(name: str, condition: str) -> Expectation:
    """Leave out the rows for which a condition is not true."""
    return Expectation(name, "drop", condition=condition)


def expect_or_quarantine(name: str, condition: str) -> Expectation:
    """Write the rows for which a condition is not true to ``<entity>__quarantine``, with the reason."""
    return Expectation(name, "quarantine", condition=condition)


def expect_or_fail(name: str, condition: str) -> Expectation:
    """Fail the write if a condition is not true for every row; nothing is written then."""
    return Expectation(name, "fail", condition=condition)


def not_null(column: str, *, action: str = "fail", name: str | None = None) -> Expectation:
    """A column has a value in every row."""
    return Expectation(name or f"{column} is not null", action, "not_null", columns=(column,))


def unique(*columns: str, action: str = "fail", name: str | None = None) -> Expectation:
    """No two rows of the entity share the values of these columns; a null is equal to nothing.

    All rows that share them fail, since none is more right than the others. An append is compared with the rows
    that the table holds, a merge with those that it does not replace. Writers at the same time do not see each
    other's rows.
    """
    return Expectation(name or f"{', '.join(columns)} unique", action, "unique", columns=columns)


def foreign_key(
    columns: str | Sequence[str],
    references: str,
    referenced_columns: str | Sequence[str] = (),
    *,
    action: str = "fail",
    name: str | None = None,
) -> Expectation:
    """The values of the columns occur in another entity; a null refers to nothing and passes.

    Args:
        references: the other entity. Its pipe runs before the pipe that writes this entity.
        referenced_columns: its columns; the same names unless given.
    """
    own = (columns,) if isinstance(columns, str) else tuple(columns)
    other = (referenced_columns,) if isinstance(referenced_columns, str) else tuple(referenced_columns)
    title = name or f"{', '.join(own)} in {references}"
    return Expectation(title, action, "foreign_key", None, own, references, other or own)


def summary(results: Sequence[ExpectationResult]) -> str | None:
    """The expectations that rows did not meet, on a single line; None if all were met."""
    what = {
        "null": "made null",
        "skip": "skipped",
        "warn": "not met",
        "drop": "dropped",
        "quarantine": "quarantined",
        "fail": "refused",
    }
    failed = [f"{result.name}: {result.rows_failed} {what[result.action]}" for result in results if result.rows_failed]
    return "; ".join(failed) or None
