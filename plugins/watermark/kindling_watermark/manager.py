"""How far each reader has read each source: looked up, saved, reset, and told by signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, ClassVar
from uuid import uuid4

from kindling_core import SignalEmitter, SignalProvider
from kindling_core.errors import full_text_of
from kindling_core.state import StateStore
from kindling_entities import EntityProvider
from kindling_watermark.payloads import PAYLOADS
from kindling_watermark.ranges.values import Committed, Range, ReaderState, Watermark
from kindling_watermark.records import Kept, Records


@dataclass(frozen=True)
class Changes:
    """What a source has that a reader has not read.

    Attributes:
        frame: the changes with ``_change_type``, or the whole source where the reader has not read it so far.
        start_version: the watermark; None: there is none.
        end_version: up to and with this version.
    """

    frame: Any
    start_version: int | None
    end_version: int


class WatermarkManager(SignalEmitter):
    """The watermarks of one job.

    Args:
        state_store: keeps them.
        signal_provider: sends the ``watermark.*`` signals; without one nothing is sent.
        now: the time, UTC; replaced in tests.
    """

    PAYLOADS = PAYLOADS
    EMITS: ClassVar[list[str]] = [payload.SIGNAL for payload in PAYLOADS]

    def __init__(
        self,
        state_store: StateStore,
        signal_provider: SignalProvider | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.records = Records(state_store)
        self._now = now
        if signal_provider is not None:
            self.set_signal_provider(signal_provider)

    # One source of one reader

    def get_watermark(self, source_entity_id: str, reader_id: str) -> Watermark | None:
        """Return how far a reader has read a source; None if it has not."""
        return self.look_up(source_entity_id, reader_id, self.records.get(reader_id).state)

    def look_up(self, source_entity_id: str, reader_id: str, state: ReaderState) -> Watermark | None:
        """Return a watermark of a state that was fetched before, with the signals of looking it up."""
        common = self._common(source_entity_id, reader_id)
        self.emit("watermark.before_get", **common)
        found = state.watermarks.get(source_entity_id)
        if found is None:
            self.emit("watermark.watermark_missing", **common)
        else:
            self.emit("watermark.watermark_found", version=found.version, saved_at=found.saved_at, **common)
        return found

    def save_watermark(
        self, source_entity_id: str, reader_id: str, version: int, *, table_id: str = "", mark: str | None = None
    ) -> Watermark:
        """Say that a reader has read a source up to a version; what it was about to read is forgotten.

        Args:
            table_id, mark: of the source at this version, see ``Watermark``.

        Raises:
            StateConflict: somebody else has changed what is kept of the reader.
        """
        kept = self.records.get(reader_id)
        saved = Watermark(version, table_id, mark, saved_at=self.saved_at())
        state = kept.state.moved({**kept.state.watermarks, source_entity_id: saved})
        self.saving(reader_id, kept.state, state, lambda: self.records.put(reader_id, state, kept.version))
        return saved

    def reset_watermark(
        self, source_entity_id: str, reader_id: str, version: int | None = None, *, reason: str = "asked for"
    ) -> None:
        """Have a reader read a source anew, from a version or as a whole.

        Raises:
            StateConflict: somebody else has changed what is kept of the reader.
        """
        kept = self.records.get(reader_id)
        old = kept.state.watermarks.get(source_entity_id)
        if version is not None:
            self.save_watermark(source_entity_id, reader_id, version)
        else:
            left = {name: one for name, one in kept.state.watermarks.items() if name != source_entity_id}
            self.records.put(reader_id, kept.state.moved(left), kept.version)
        self.tell_reset(source_entity_id, reader_id, old, version, reason)

    def read_changes(
        self, source_entity_id: str, reader_id: str, provider: EntityProvider, *, end_version: int | None = None
    ) -> Changes:
        """Read what a source has that a reader has not read; the watermark stays until it is saved.

        Args:
            end_version: up to this version; None is the newest.
        """
        watermark = self.get_watermark(source_entity_id, reader_id)
        end = provider.get_entity_version(source_entity_id) if end_version is None else end_version
        if watermark is None or watermark.version is None:
            return Changes(provider.read_entity(source_entity_id, version=end), None, end)
        start = watermark.version
        if start >= end:
            nothing = provider.read_entity(source_entity_id, version=end).where("false")
            return Changes(nothing.selectExpr("*", "cast(null as string) as _change_type"), start, end)
        self.tell_news(source_entity_id, reader_id, start, end)
        frame = provider.read_entity(source_entity_id, version=end, start_version=start)
        return Changes(frame, start, end)

    # All sources of a reader, as a run goes through them

    def begin(self, reader_id: str, kept: Kept, ranges: Mapping[str, Range], full: bool, reason: str = "") -> Kept:
        """Write down what a reader is about to read.

        Raises:
            StateConflict: somebody else was first.
        """
        return self.records.put(reader_id, kept.state.begun(ranges, full, reason), kept.version)

    def finish(self, reader_id: str, kept: Kept, committed: Committed | None, rows: int | None) -> None:
        """Write down that an intent is done; the watermarks move to the ends of its ranges.

        Args:
            kept: with the intent.
            committed: the commit that did it; None where there was nothing to commit.
            rows: that were written.

        Raises:
            StateConflict: what is kept of the reader was changed by something that does not know of the intent.
        """
        intent = kept.state.intent
        assert intent is not None
        state = kept.state.done(self.saved_at(), committed)
        self.saving(
            reader_id, kept.state, state, lambda: self.records.put_while(reader_id, intent, state, kept.version)
        )
        for source, one in intent.ranges.items():
            if not one.empty:
                old = kept.state.watermarks.get(source)
                self.emit(
                    "watermark.watermark_advanced",
                    old_version=old.version if old is not None and not intent.full else None,
                    new_version=one.end,
                    rows=rows,
                    **self._common(source, reader_id),
                )

    def saving(self, reader_id: str, old: ReaderState, new: ReaderState, save: Callable[[], object]) -> None:
        """Save a state with the signals of saving, for each watermark that it moves."""
        moved = {
            source: {
                "old_version": old.watermarks[source].version if source in old.watermarks else None,
                "new_version": one.version,
                **self._common(source, reader_id),
            }
            for source, one in new.watermarks.items()
            if one != old.watermarks.get(source)
        }
        for fields in moved.values():
            self.emit("watermark.before_save", **fields)
        try:
            save()
        except BaseException as error:
            for fields in moved.values():
                del fields["old_version"]
                told = {"error": full_text_of(error), "error_type": type(error).__name__}
                self.emit("watermark.save_failed", **fields, **told)
            raise
        for fields in moved.values():
            self.emit("watermark.after_save", **fields)

    def tell_news(self, source_entity_id: str, reader_id: str, old: int | None, new: int | None) -> None:
        """Tell that a source has moved on since the watermark."""
        self.emit(
            "watermark.version_changed",
            old_version=old,
            new_version=new,
            **self._common(source_entity_id, reader_id),
        )

    def tell_reset(
        self, source_entity_id: str, reader_id: str, old: Watermark | None, new: int | None, reason: str
    ) -> None:
        """Tell that something else than a reader's progress moved its watermark."""
        self.emit(
            "watermark.watermark_reset",
            old_version=None if old is None else old.version,
            new_version=new,
            reason=reason,
            **self._common(source_entity_id, reader_id),
        )

    def saved_at(self) -> str:
        """The time as watermarks carry it."""
        return self._now().isoformat()

    def _common(self, source_entity_id: str, reader_id: str) -> dict[str, str]:
        return {"source_entity_id": source_entity_id, "reader_id": reader_id, "operation_id": str(uuid4())}
