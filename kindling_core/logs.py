"""Logging and messages that cannot fail the work which they are about.

A handler of the log is somebody else's code and may raise, and a pipe may close the streams of its process: a run must
end as its pipes did, whatever becomes of the words about it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

from kindling_core.errors import text_of

# The methods of ``Log`` between a caller and the logger, which must not be named as the place of a record.
_OWN_FRAMES = 2


class Log:
    """A logger whose handlers and filters may raise: the message then goes to standard error, and the caller goes on.

    It takes no ``exc_info``: a traceback may show secrets. Log the text of ``secrets.describe_error`` instead.

    Args:
        name: of the logger.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, *values: object) -> None:
        self._log(logging.DEBUG, message, values)

    def warning(self, message: str, *values: object) -> None:
        self._log(logging.WARNING, message, values)

    def error(self, message: str, *values: object) -> None:
        self._log(logging.ERROR, message, values)

    def _log(self, level: int, message: str, values: tuple[object, ...]) -> None:
        # A value whose text cannot be read would cost the whole message.
        values = tuple(text_of(value) if isinstance(value, BaseException) else value for value in values)
        try:
            self._logger.log(level, message, *values, stacklevel=_OWN_FRAMES + 1)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - handlers, filters and values are somebody else's
            say(f"kindling: a log handler of {self._logger.name!r} failed: {type(error).__name__}: {text_of(error)}")
            say(f"kindling: it was to log: {message}")


class SteadyStream:
    """A stream for messages that takes whatever it is given, also once the stream below it is closed or gone.

    Args:
        name: "stdout" or "stderr", of ``sys``; looked up at each write, since others may replace it.
    """

    encoding = "utf-8"

    def __init__(self, name: str = "stderr") -> None:
        self._name = name

    @property
    def below(self) -> TextIO | None:
        """The stream as it is now, None where the process has none."""
        stream = getattr(sys, self._name)
        # A live display puts a stream of its own there, which would write to this stream again.
        found: TextIO | None = getattr(stream, "rich_proxied_file", stream)
        return found

    def write(self, text: str) -> int:
        """Write as much as can be written; returns the length of the text in any case."""
        written(self.below, text)
        return len(text)

    def flush(self) -> None:
        written(self.below, "")

    def isatty(self) -> bool:
        stream = self.below
        try:
            return stream is not None and stream.isatty()
        except (OSError, ValueError, AttributeError):
            return False

    def fileno(self) -> int:
        """Return the descriptor.

        Raises:
            OSError: there is none.
        """
        stream = self.below
        try:
            if stream is not None:
                return stream.fileno()
        except (ValueError, AttributeError) as error:
            raise OSError(f"sys.{self._name} has no descriptor: {error}") from error
        raise OSError(f"There is no sys.{self._name}.")


def say(text: str) -> bool:
    """Print a line on standard error; returns whether it could be written."""
    return written(SteadyStream().below, text + "\n")


def written(stream: Any, text: str) -> bool:
    """Write and flush a text; returns whether that was possible.

    Characters that the stream's encoding lacks are written as escapes.
    """
    if stream is None:
        return False
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError, RuntimeError, AttributeError):
        # Closed, full, a pipe without a reader, a stream that is in use on this very thread, or no stream at all.
        return False
    return True
