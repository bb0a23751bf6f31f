"""Selection expressions: which pipes of a job a run takes.

``silver.flights`` names a pipe, or the entity that it produces; ``+x`` adds everything that x depends on, ``x+``
everything that depends on x; ``tag:nightly`` and ``tag:team=ops`` select by tag; names may hold ``*``, ``?`` and
``[...]``; ``!`` before any of these removes what it selects. No expression, or only removals, start from all pipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from kindling_core.errors import SelectionError, did_you_mean
from kindling_core.pipes import PipeMetadata, split_version

_TAG = "tag:"


def select(expressions: Sequence[str], pipes: Sequence[PipeMetadata]) -> list[str]:
    """Return the ids of the selected pipes in the order of ``pipes``.

    Raises:
        SelectionError: a name is unknown (with near matches), or nothing is left.
    """
    index = _Index(pipes)
    chosen: set[str] = set()
    removed: set[str] = set()
    additions = 0
    for expression in expressions:
        text = expression.strip()
        if text.startswith("!"):
            removed |= index.resolve(text[1:], expression)
        else:
            additions += 1
            chosen |= index.resolve(text, expression)
    if not additions:
        chosen = set(index.pipes)
    left = [pipe_id for pipe_id in index.pipes if pipe_id in chosen and pipe_id not in removed]
    if not left and expressions:
        raise SelectionError(
            f"Nothing is left of the selection {' '.join(expressions)!r}: it removes every pipe that it names."
        )
    return left


def reasons(expressions: Sequence[str], pipes: Sequence[PipeMetadata]) -> dict[str, str]:
    """Return pipe id -> the expression that took it into the selection.

    Raises:
        SelectionError: as ``select``.
    """
    index = _Index(pipes)
    found: dict[str, str] = {}
    for expression in expressions:
        text = expression.strip()
        if text.startswith("!"):
            continue
        bare = text.strip("+")
        named = index.resolve(bare, expression) if text != bare and not _only_read(index, bare) else set()
        for pipe_id in index.resolve(text, expression):
            reason = f"selected by {text!r}"
            if text != bare and pipe_id not in named:
                reason = f"taken along by {text!r}"
            found.setdefault(pipe_id, reason)
    return found or dict.fromkeys(index.pipes, "every pipe of the job runs")


def _only_read(index: _Index, name: str) -> bool:
    try:
        index.resolve(name, name)
    except SelectionError:
        return True
    return False


class _Index:
    """The pipes of a job by the names that an expression may use."""

    def __init__(self, pipes: Sequence[PipeMetadata]) -> None:
        self.pipes = {pipe.pipe_id: pipe for pipe in pipes}
        self._makers: dict[str, list[str]] = {}
        self._readers: dict[str, list[str]] = {}
        for pipe in pipes:
            if pipe.output_entity_id is not None:
                self._makers.setdefault(pipe.output_entity_id, []).append(pipe.pipe_id)
            for entity_id in pipe.input_entity_ids:
                self._readers.setdefault(entity_id, []).append(pipe.pipe_id)

    def resolve(self, text: str, expression: str) -> set[str]:
        upstream, downstream = text.startswith("+"), text.endswith("+")
        name = text[1:] if upstream else text
        name = name[:-1] if downstream and name else name
        if not name or name.startswith(("+", "!")) or name.endswith("+"):
            raise SelectionError(
                f"{expression!r} is not a selection. Write a pipe, 'tag:name' or a pattern such as 'silver.*', "
                f"with '+' before or after it, and '!' before everything to remove."
            )
        if name.startswith(_TAG):
            named = self._tagged(name[len(_TAG) :], expression)
        else:
            named = self._named(name, expression, downstream)
        found = set(named)
        if upstream:
            found |= _reachable(named, self._producers_of)
        if downstream:
            found |= _reachable(named, self._consumers_of)
        return found

    def _named(self, name: str, expression: str, downstream: bool) -> list[str]:
        found = [pipe_id for pipe_id, pipe in self.pipes.items() if name in (pipe_id, pipe.output_entity_id)] or [
            pipe_id
            for pipe_id, pipe in self.pipes.items()
            if fnmatchcase(pipe_id, name) or fnmatchcase(pipe.output_entity_id or "", name)
        ]
        if found:
            return found
        readers = [pipe_id for entity_id, ids in self._readers.items() if _reads(entity_id, name) for pipe_id in ids]
        if readers and downstream:
            return readers
        if readers:
            raise SelectionError(
                f"{expression!r}: no pipe of this job produces {name!r}, it is only read. Use '{name}+' for the "
                f"pipes that read it."
            )
        candidates = [*self.pipes, *self._makers, *map(_without_version, self._readers)]
        what = "matches no pipe" if any(sign in name for sign in "*?[") else "is not a pipe or an entity of this job"
        within = "" if expression == name else f"{expression!r}: "
        raise SelectionError(f"{within}{name!r} {what}.{did_you_mean(name, candidates)}")

    def _tagged(self, wanted: str, expression: str) -> list[str]:
        name, has_value, value = wanted.partition("=")
        found = [
            pipe_id
            for pipe_id, pipe in self.pipes.items()
            if any(
                fnmatchcase(tag, name) and (not has_value or fnmatchcase(str(held), value))
                for tag, held in pipe.tags.items()
            )
        ]
        if not found:
            known = {tag for pipe in self.pipes.values() for tag in pipe.tags}
            known |= {f"{tag}={held}" for pipe in self.pipes.values() for tag, held in pipe.tags.items() if held}
            raise SelectionError(f"{expression!r}: no pipe has the tag {wanted!r}.{did_you_mean(wanted, known)}")
        return found

    def _producers_of(self, pipe_id: str) -> Iterable[str]:
        for entity_id in self.pipes[pipe_id].input_entity_ids:
            yield from self._makers.get(entity_id, ())

    def _consumers_of(self, pipe_id: str) -> Iterable[str]:
        return self._readers.get(self.pipes[pipe_id].output_entity_id or "", ())


def _reachable(start: Iterable[str], neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        for other in neighbours(waiting.pop()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _reads(entity_id: str, name: str) -> bool:
    return fnmatchcase(_without_version(entity_id), name)


def _without_version(entity_id: str) -> str:
    return split_version(entity_id)[0]
