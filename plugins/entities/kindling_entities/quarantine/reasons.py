"""Splits the reasons of quarantined rows: names of expectations joined by a comma, which names may hold too.

Of a source they are sentences about values of its files, and are counted without the values.
"""

from __future__ import annotations

from collections.abc import Mapping

from kindling_entities.declare.entity import EntityDefinition

SEPARATOR = ", "


class Reasons:
    """Knows the names of an entity's expectations as they are declared now."""

    def __init__(self, entity: EntityDefinition) -> None:
        self.names = {expectation.name for expectation in entity.expectations}
        self._source = entity.read_only

    def shown(self, text: str) -> list[str]:
        """Return what a reason is made of, for one row: of a source with the values."""
        return [whole for _, whole in self._of_source(text)] if self._source else self.of(text)

    @staticmethod
    def _of_source(text: str) -> list[tuple[str, str]]:
        from kindling_entities.formats import reasons_of

        return reasons_of(text)

    def of(self, text: str) -> list[str]:
        """Return the names that a reason is made of; text between declared names counts as a single name."""
        if self._source:
            return [kind for kind, _ in self._of_source(text)]
        parts = text.split(SEPARATOR)
        found: list[str] = []
        unknown: list[str] = []
        start = 0
        while start < len(parts):
            ends = (end for end in range(len(parts), start, -1) if SEPARATOR.join(parts[start:end]) in self.names)
            end = next(ends, None)
            if end is None:
                unknown.append(parts[start])
                start += 1
                continue
            if unknown:
                found.append(SEPARATOR.join(unknown))
                unknown = []
            found.append(SEPARATOR.join(parts[start:end]))
            start = end
        return [*found, SEPARATOR.join(unknown)] if unknown else found

    def counts(self, texts: Mapping[str, int]) -> dict[str, int]:
        """Return how often each name occurs, the most frequent first.

        Args:
            texts: reason -> rows that have it.
        """
        found: dict[str, int] = {}
        for text, rows in texts.items():
            for name in self.of(text):
                found[name] = found.get(name, 0) + rows
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
