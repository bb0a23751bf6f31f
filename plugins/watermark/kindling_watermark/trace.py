"""What a pipe leaves in the log of its output: which transaction wrote it, and what it was made of.

The table is the truth and the state store its index. The transaction id keeps a repeated write from happening twice;
the metadata of the commit say which ranges of which sources are in it, and how far every source was read then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kindling_entities import CommitInfo, EntityNotFoundError, EntityStore, VersionsGone
from kindling_watermark.ranges.values import Committed, Intent, ReaderState, Watermark

METADATA = "kindling.watermark"
RESTORE = "RESTORE"


def application(reader_id: str) -> str:
    """The application id of a reader's transactions."""
    return f"kindling.watermark:{reader_id}"


@dataclass(frozen=True)
class Trace:
    """One commit of a reader.

    Attributes:
        version: of the output.
        sequence: of the intent that it did.
        ranges: source -> the versions (start, end] that it was made of, or the values of its cursor.
        watermarks: source -> how far it was read with this commit.
    """

    version: int
    sequence: int
    ranges: Mapping[str, Sequence[Any]]
    watermarks: Mapping[str, Watermark]

    @property
    def committed(self) -> Committed:
        """The commit as the state of the reader has it."""
        return Committed(self.sequence, self.version)

    def state(self) -> ReaderState:
        """The state of the reader right after this commit."""
        return ReaderState(self.sequence, self.watermarks, self.committed)

    def did(self, intent: Intent) -> bool:
        """Whether it is the commit of this intent, and not of another that had the same number."""
        asked = {name: one.ends for name, one in intent.ranges.items()}
        return self.sequence == intent.sequence and {name: list(one) for name, one in self.ranges.items()} == asked


def metadata(reader_id: str, state: ReaderState, saved_at: str) -> dict[str, str]:
    """What the commit of a state's intent carries."""
    intent = state.intent
    assert intent is not None
    after = state.done(saved_at, None)
    said = {
        "reader": reader_id,
        "sequence": intent.sequence,
        "ranges": {name: one.ends for name, one in intent.ranges.items()},
        "watermarks": {
            name: {key: value for key, value in one.to_dict().items() if key != "columns"}
            for name, one in after.watermarks.items()
        },
    }
    return {METADATA: json.dumps(said, sort_keys=True)}


def trace_of(commit: CommitInfo, reader_id: str) -> Trace | None:
    """What a reader has left in a commit; None if it is not its own."""
    text = commit.metadata.get(METADATA)
    if text is None:
        return None
    said = json.loads(text)
    if said["reader"] != reader_id:
        return None
    watermarks = {name: Watermark.of(one) for name, one in said["watermarks"].items()}
    return Trace(commit.version, said["sequence"], said["ranges"], watermarks)


@dataclass(frozen=True)
class Output:
    """What the log of an output says of a reader.

    Attributes:
        exists: whether there is a table.
        newest: the reader's newest commit; None if the log has none.
        reason: why the output is not as the reader left it; "" if it is, as far as can be told.
    """

    exists: bool
    newest: Trace | None = None
    reason: str = ""


def look_at(store: EntityStore, output_entity_id: str, reader_id: str, known: Committed | None) -> Output:
    """Read the log of an output.

    Args:
        known: the reader's newest commit as the state store has it; only what came after it is read then.
    """
    try:
        newest = store.get_entity_version(output_entity_id)
    except EntityNotFoundError:
        return Output(False, reason="" if known is None else "there is no table any more")
    if known is None:
        return _found(store.commits(output_entity_id), reader_id)
    if newest < known.version:
        return _found(
            store.commits(output_entity_id),
            reader_id,
            f"it is at version {newest}, and the pipe wrote version {known.version}",
        )
    try:
        commits = store.commits(output_entity_id, known.version - 1)
    except VersionsGone:
        # The log was cleaned up to there, which no commit of the reader's outlives that is older.
        return _found(store.commits(output_entity_id), reader_id)
    mine = trace_of(commits[0], reader_id)
    if mine is None or mine.sequence != known.sequence:
        return _found(
            store.commits(output_entity_id),
            reader_id,
            f"its version {known.version} is not the one that the pipe wrote",
        )
    return _found(commits, reader_id)


def _found(commits: Sequence[CommitInfo], reader_id: str, reason: str = "") -> Output:
    newest: Trace | None = None
    set_back = ""
    for commit in commits:
        trace = trace_of(commit, reader_id)
        if trace is not None:
            # Whatever was set back before, this was written on top of it.
            newest, set_back = trace, ""
        elif commit.operation.upper() == RESTORE and newest is not None:
            set_back = f"version {commit.version} set it back to an earlier version"
    return Output(True, newest, reason or set_back)


def commit_of(store: EntityStore, output_entity_id: str, reader_id: str, intent: Intent, after: int) -> Trace | None:
    """Find the commit that did an intent.

    Args:
        after: an earlier version of the output; -1 where it had none.
    """
    try:
        commits = store.commits(output_entity_id, after)
    except EntityNotFoundError:
        return None
    except VersionsGone:
        commits = store.commits(output_entity_id)
    for commit in reversed(commits):
        trace = trace_of(commit, reader_id)
        if trace is not None and trace.did(intent):
            return trace
    return None
