"""Spots: the pieces of an expression that may have to be guarded, whether it is a Connect message or SQL text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from kindling_entities.engines.embedded._guards import Spot, all_spots, applies


class Root(ABC):
    """An expression with spots within it.

    Attributes:
        message: the Connect expression.
        spots: the outermost spots.
    """

    def __init__(self, message: Any, spots: list[Spot]) -> None:
        self.message = message
        self.spots = spots

    def needs_guard(self) -> bool:
        """Whether a spot is to be rewritten; asked when the types are known."""
        return any(map(applies, all_spots(self.spots)))

    @abstractmethod
    def rewrite(self, *, drop_alias: bool) -> None:
        """Put the guarded form in place.

        Args:
            drop_alias: whether an alias at the end of a text is left out.
        """


def untyped(spot: Spot) -> Spot:
    """Clear the probes of a spot whose guard does not depend on types."""
    spot.probe = None
    for part in spot.parts:
        if part.kind == "leaf":
            part.probe = None
    return spot


def either(name: str, handle: Any, parts: list[Spot]) -> Spot | None:
    """Make the spot of an ``and`` or ``or``; None if its right side has no spots.

    Args:
        handle: the whole expression, as its maker has it.
        parts: the left and the right side.
    """
    right = parts[1]
    if right.kind == "leaf" and not right.inner:
        return None
    for part in parts:
        if part.kind == "leaf":
            part.probe = None
    return Spot("either", name, handle, parts)
