"""The errors of the watermark plugin. Nothing was written where one is raised."""

from __future__ import annotations

from kindling_core import KindlingError


class WatermarkError(KindlingError):
    """Root of the errors about incremental reads."""


class SourceRewritten(WatermarkError):
    """What a pipe has read of a source is there no more as it was, so that the rows after it do not tell all.

    Attributes:
        source_entity_id, reader_id: the source and the pipe.
        reason: what happened to the source.
    """

    def __init__(self, source_entity_id: str, reader_id: str, reason: str) -> None:
        self.source_entity_id = source_entity_id
        self.reader_id = reader_id
        self.reason = reason
        super().__init__(
            f"Pipe {reader_id!r} cannot go on where it was in {source_entity_id!r}: {reason}. "
            f"`kindling run --full-refresh {reader_id}` computes its output anew from the whole inputs. "
            f'The option on_rewrite="full_refresh" of the pipe does so by itself, on_rewrite="ignore" reads on behind '
            f"what happened."
        )


class OutputChanged(WatermarkError):
    """The output of a pipe is not what the pipe has made of it: it was removed, made anew or set back.

    Attributes:
        reader_id: the pipe.
        reason: what is known to have happened.
    """

    def __init__(self, reader_id: str, output_entity_id: str, reason: str) -> None:
        self.reader_id = reader_id
        self.reason = reason
        super().__init__(
            f"The output {output_entity_id!r} of pipe {reader_id!r} is not as the pipe left it: {reason}. "
            f'`kindling run --full-refresh {reader_id}` computes it anew, as the option on_rewrite="full_refresh" of '
            f"the pipe does by itself. If its rows are right as they are, `kindling watermarks rebuild {reader_id}` "
            f"takes over what the table itself says, and `kindling watermarks set` any other version."
        )


class WatermarkLost(WatermarkError):
    """An output has rows, and neither the state nor the table tells what they were made of."""

    def __init__(self, reader_id: str, output_entity_id: str, what: str) -> None:
        self.reader_id = reader_id
        super().__init__(
            f"Pipe {reader_id!r} would read all of its inputs again and double rows of {output_entity_id!r}: {what}. "
            f"`kindling run --full-refresh {reader_id}` computes the table anew. If its rows are right, say up to "
            f"which version the sources are in it: `kindling watermarks set {reader_id} SOURCE VERSION`."
        )
