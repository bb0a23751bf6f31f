"""What the ``watermark.*`` signals carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from kindling_core import SignalPayload


@dataclass
class ReaderPayload(SignalPayload):
    """Base of what is sent of a source and its reader."""

    source_entity_id: Annotated[str, "what is read"]
    reader_id: Annotated[str, "the pipe that reads it"]


@dataclass
class BeforeGet(ReaderPayload):
    """A watermark is about to be looked up."""

    SIGNAL: ClassVar[str] = "watermark.before_get"


@dataclass
class WatermarkFound(ReaderPayload):
    """There is a watermark."""

    SIGNAL: ClassVar[str] = "watermark.watermark_found"

    version: Annotated[int | None, "the version up to which it was read; None for a source that is read by a cursor"]
    saved_at: Annotated[str, "when it was saved, UTC, ISO 8601"]


@dataclass
class WatermarkMissing(ReaderPayload):
    """There is no watermark: the pipe has not read this source so far."""

    SIGNAL: ClassVar[str] = "watermark.watermark_missing"


@dataclass
class BeforeSave(ReaderPayload):
    """A watermark is about to be saved."""

    SIGNAL: ClassVar[str] = "watermark.before_save"

    old_version: Annotated[int | None, "the version until now; None if there was none"]
    new_version: Annotated[int | None, "the version that is saved"]


@dataclass
class AfterSave(ReaderPayload):
    """A watermark was saved."""

    SIGNAL: ClassVar[str] = "watermark.after_save"

    old_version: Annotated[int | None, "the version before; None if there was none"]
    new_version: Annotated[int | None, "the version that was saved"]


@dataclass
class SaveFailed(ReaderPayload):
    """A watermark could not be saved; it is as it was."""

    SIGNAL: ClassVar[str] = "watermark.save_failed"

    new_version: Annotated[int | None, "the version that was to be saved"]
    error: Annotated[str, "the error's message"]
    error_type: Annotated[str, "the error's class"]


@dataclass
class WatermarkAdvanced(ReaderPayload):
    """A pipe has written what it made of a source up to a version."""

    SIGNAL: ClassVar[str] = "watermark.watermark_advanced"

    old_version: Annotated[int | None, "the version before; None if the whole source was read"]
    new_version: Annotated[int | None, "the version up to which it was read"]
    rows: Annotated[int | None, "rows that the pipe wrote; None where that cannot be told"]


@dataclass
class WatermarkReset(ReaderPayload):
    """A watermark was moved by something else than a pipe's own progress."""

    SIGNAL: ClassVar[str] = "watermark.watermark_reset"

    old_version: Annotated[int | None, "the version before; None if there was none"]
    new_version: Annotated[int | None, "the version now; None if the whole source is read next"]
    reason: Annotated[str, "why"]


@dataclass
class VersionChanged(ReaderPayload):
    """The source has moved on since the watermark."""

    SIGNAL: ClassVar[str] = "watermark.version_changed"

    old_version: Annotated[int | None, "the version of the watermark"]
    new_version: Annotated[int | None, "the newest version that the run reads"]


PAYLOADS: tuple[type[SignalPayload], ...] = (
    BeforeGet,
    WatermarkFound,
    WatermarkMissing,
    BeforeSave,
    AfterSave,
    SaveFailed,
    WatermarkAdvanced,
    WatermarkReset,
    VersionChanged,
)
