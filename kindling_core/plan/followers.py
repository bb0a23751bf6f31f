"""Edges of a graph in lists of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Followers:
    """Which places come after a place.

    Chained through three lists, as the entries of a hash table are: a list for each pipe would be a further object that
    the garbage collector visits each time that it looks at everything, and ten thousand pipes would take more than ten
    times what one thousand take.

    Args:
        before: what comes before each, both by name.
        place: name -> its place.
    """

    def __init__(self, before: Mapping[str, Iterable[str]], place: Mapping[str, int]) -> None:
        self._first = [-1] * len(place)
        self._next: list[int] = []
        self._to: list[int] = []
        for name, others in before.items():
            for other in others:
                start = place[other]
                self._next.append(self._first[start])
                self._first[start] = len(self._to)
                self._to.append(place[name])

    def of(self, place: int) -> Iterator[int]:
        """Give the places that come after a place, the last that was named first."""
        edge = self._first[place]
        while edge >= 0:
            yield self._to[edge]
            edge = self._next[edge]
