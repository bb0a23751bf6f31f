"""A plain Python model of a history, and changes at random."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Row = tuple[int, str | None, str | None, int, int | None]


@dataclass(frozen=True)
class Change:
    """A row or a delete of a key; ``note`` is a column that is not tracked."""

    key: int
    value: str | None
    at: int
    gone: bool = False
    note: str | None = None


def history_of(changes: Iterable[Change]) -> list[Row]:
    """The rows (key, value, note, valid from, valid to) that changes in any order make."""
    rows: list[Row] = []
    timeline = sorted(changes, key=lambda change: (change.key, change.at))
    for key in dict.fromkeys(change.key for change in timeline):
        current: Change | None = None
        for change in (change for change in timeline if change.key == key):
            if current is not None and (change.gone or change.value != current.value):
                rows.append((key, current.value, current.note, current.at, change.at))
                current = None
            if not change.gone and current is None:
                current = change
        if current is not None:
            rows.append((key, current.value, current.note, current.at, None))
    return sorted(rows, key=repr)


def changes_at_random(seed: random.Random, keys: int, moments: int) -> list[Change]:
    """Changes with few values, so that many repeat each other, and with many deletes."""
    found = []
    for key in range(keys):
        for at in range(moments):
            if seed.random() < 0.7:
                value = seed.choice(["a", "b", None, ""])
                found.append(Change(key, value, at, seed.random() < 0.35, f"{key}-{at}"))
    return found


def batches_at_random(seed: random.Random, changes: Sequence[Change]) -> list[list[Change]]:
    """The same changes in another order, in batches of any size; some come again."""
    mixed = list(changes)
    seed.shuffle(mixed)
    batches = []
    while mixed:
        size = seed.randint(1, len(mixed))
        batches.append(mixed[:size])
        mixed = mixed[size:]
        if seed.random() < 0.3:
            batches.append(seed.choice(batches))
    return batches
