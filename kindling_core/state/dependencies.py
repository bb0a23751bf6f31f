"""What a run depends on, and what of it has changed: settings, code, declarations of entities, files of sources."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kindling_core.pipes import PipeMetadata, split_version
from kindling_core.secrets import is_secret_name
from kindling_core.state import RunStart
from kindling_core.state.fingerprint import VERSION

if TYPE_CHECKING:
    from kindling_core.app import App

# What a feature says of an entity under this name is about the rows that are read, not about the declaration.
FILES = "files"
_SALT = "salt"
_DIGEST = "digest "
_MOST_SHOWN = 8
_LONGEST = 300


@dataclass(frozen=True)
class Change:
    """A thing that is no longer as it was.

    Attributes:
        subject: such as ``pipe 'silver.orders'`` or ``setting entities.root``.
        detail: what of it, with the value that was and the value that is.
    """

    subject: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}" if self.detail else self.subject


def dependencies(app: App, pipes: Sequence[PipeMetadata], salt: str | None = None) -> dict[str, str]:
    """Return what the rows of a run come from, besides the code of its pipes: name -> text.

    What is secret goes in as a salted digest.

    Args:
        salt: that of the run to compare with; a new salt for a new run.
    """
    salt = salt or secrets.token_hex(8)
    found = {_SALT: salt}

    def shown(name: str, text: str, secret: bool = False) -> str:
        if not (secret or is_secret_name(name) or app.redact(text) != text):
            return text
        return _DIGEST + hashlib.sha256(f"{salt}{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]

    for key, value, secret in app.config.dependencies():
        found[f"setting {key}"] = shown(key, value, secret)
    for pipe in pipes:
        for name, text in app.fingerprint(pipe).values.items():
            found[f"pipe {pipe.pipe_id!r}: {name}"] = shown(name, text)
    made = {pipe.output_entity_id for pipe in pipes}
    for entity_id, declared in app.depends_on(_entities(pipes)).items():
        for name, text in declared.items():
            # What the run itself writes is other files afterwards.
            if name != FILES or entity_id not in made:
                found[f"entity {entity_id!r}: {name}"] = shown(name, text)
    return found


def pipes_of(app: App, start: RunStart) -> dict[str, PipeMetadata]:
    """Return the pipes of a run as they are now: those of the job, and those that features add to its plan."""
    found = {pipe_id: app.pipes.get_pipe_definition(pipe_id) for pipe_id in start.pipe_ids if pipe_id in app.pipes}
    if len(found) < len(start.pipe_ids):
        added = app.plan(list(found), start.mode).added_pipes
        found |= {pipe_id: added[pipe_id] for pipe_id in start.pipe_ids if pipe_id in added}
    return found


def changes(app: App, start: RunStart, done: Collection[str] = ()) -> list[Change]:
    """Return what has changed since a run started.

    Args:
        done: its pipes that have succeeded; what only they have read does not count any more.
    """
    known = pipes_of(app, start)
    pipes = [known[pipe_id] for pipe_id in start.pipe_ids if pipe_id in known]
    if any(text and not text.startswith(VERSION) for text in start.fingerprints.values()):
        return [Change("what it was made of", "an earlier version of Kindling started it, which wrote down less of it")]
    old = dict(start.depends_on)
    new = dependencies(app, pipes, old.get(_SALT)) if old else {}
    found = _settings(old, new)
    found += [
        Change(f"pipe {pipe_id!r}", "the job has it no more") for pipe_id in start.pipe_ids if pipe_id not in known
    ]
    for pipe in pipes:
        before = start.fingerprints.get(pipe.pipe_id)
        if before not in (None, app.fingerprint(pipe).digest):
            subject = f"pipe {pipe.pipe_id!r}"
            values = _different(old, new, f"{subject}: ")
            found.append(Change(subject, "; ".join(values) or "its code, or its declaration"))
    left = [pipe for pipe in pipes if pipe.pipe_id not in done]
    still_read = {f"entity {entity_id!r}: {FILES}" for entity_id in _entities(left)}
    for entity_id in _entities(pipes):
        subject = f"entity {entity_id!r}"
        said = _different(old, new, f"{subject}: ", but=f"{subject}: {FILES}")
        if said:
            found.append(Change(subject, "; ".join(said)))
        files = f"{subject}: {FILES}"
        if files in still_read and old.get(files, new.get(files)) != new.get(files, old.get(files)):
            found.append(Change(f"the files of {entity_id!r}", "some came, went or were written since"))
    return found


def described(found: Sequence[Change]) -> tuple[str, str]:
    """Return the subjects of changes for a sentence, and the details for its end."""
    subjects = list(dict.fromkeys(change.subject for change in found))
    more = f" and {len(subjects) - _MOST_SHOWN} more" if len(subjects) > _MOST_SHOWN else ""
    details = "; ".join(map(str, found[:_MOST_SHOWN]))
    return ", ".join(subjects[:_MOST_SHOWN]) + more, f"{details}{more}"


def _entities(pipes: Sequence[PipeMetadata]) -> list[str]:
    names: dict[str, None] = {}
    for pipe in pipes:
        names |= dict.fromkeys(split_version(name)[0] for name in pipe.input_entity_ids)
        if pipe.output_entity_id is not None:
            names[pipe.output_entity_id] = None
    return list(names)


def _settings(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    names = [name for name in dict.fromkeys([*old, *new]) if name.startswith("setting ")]
    return [Change(name, _was(old.get(name), new.get(name))) for name in names if old.get(name) != new.get(name)]


def _different(old: Mapping[str, str], new: Mapping[str, str], beginning: str, but: str = "") -> list[str]:
    names = [name for name in dict.fromkeys([*old, *new]) if name.startswith(beginning) and name != but]
    return [
        f"{name.removeprefix(beginning)} {_was(old.get(name), new.get(name))}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _was(old: str | None, new: str | None) -> str:
    if old is not None and new is not None and old.startswith(_DIGEST) and new.startswith(_DIGEST):
        return "has another value, which is secret"
    return f"was {_shown(old)}, is {_shown(new)}"


def _shown(text: str | None) -> str:
    if text is None:
        return "not there"
    if text.startswith(_DIGEST):
        return "a secret"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
