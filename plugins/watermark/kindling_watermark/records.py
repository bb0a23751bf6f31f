"""The records of readers in the state store: one for each reader, changed by compare-and-set."""

from __future__ import annotations

from dataclasses import dataclass

from kindling_core.state import StateConflict, StateStore
from kindling_watermark.ranges.values import Intent, ReaderState

SPACE = "watermark"


@dataclass(frozen=True)
class Kept:
    """What is kept of a reader.

    Attributes:
        version: of the record; 0 where there is none.
    """

    state: ReaderState
    version: int


class Records:
    """Keeps what is known of readers.

    Args:
        store: of the job.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def get(self, reader_id: str) -> Kept:
        """What is kept of a reader; an empty state where there is none."""
        record = self._store.get(SPACE, reader_id)
        return Kept(ReaderState(), 0) if record is None else Kept(ReaderState.of(record.value), record.version)

    def put(self, reader_id: str, state: ReaderState, expected: int) -> Kept:
        """Write a state.

        Raises:
            StateConflict: somebody else has changed it.
        """
        return Kept(state, self._store.put(SPACE, reader_id, state.to_dict(), expected=expected))

    def put_while(self, reader_id: str, intent: Intent, state: ReaderState, expected: int) -> bool:
        """Write what follows an intent, unless others have written that already.

        Returns:
            Whether it was written by this.

        Raises:
            StateConflict: the record was changed by something that does not know of the intent.
        """
        try:
            self.put(reader_id, state, expected)
        except StateConflict:
            now = self.get(reader_id).state
            # Whoever did the same has written the same, and may have gone on since.
            if now.sequence >= intent.sequence and (now.intent is None or now.intent.sequence > intent.sequence):
                return False
            raise
        return True

    def all(self) -> dict[str, Kept]:
        """What is kept of every reader that something is kept of."""
        return {record.key: Kept(ReaderState.of(record.value), record.version) for record in self._store.scan(SPACE)}
