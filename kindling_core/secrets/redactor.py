"""Masks secrets in texts."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kindling_core.errors import safe_str
from kindling_core.secrets.forms import Span, spans
from kindling_core.secrets.spellings import as_bytes, encoded, readings

MASK = "***"

# Where details of a report are cut.
DEEPEST = 50
MOST_VALUES = 100_000
CUT = "..."

# Very short values would mask half of every message and protect nothing.
SHORTEST = 4
# A line of a secret of several lines, such as a private key, is a secret where a message shows just that line.
_SHORTEST_LINE = 8
_PLAIN_WORDS = frozenset({"true", "false", "none", "null"})


class Redactor:
    """Replaces secrets by ``***``: known secrets, however they are written, and those that show by their form.

    Known secrets are found as they are and escaped by backslashes (``repr``, JSON), percent-encoded, as entities of
    HTML and in base64. Those of fewer than 4 characters are not looked for. The time grows with the length of the
    text, and with the number of the secrets.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known: set[str] = set()
        for secret in secrets:
            known |= {secret, secret.strip()}
            lines = secret.split("\n")
            known.update(line.strip() for line in lines[1:] + lines[:1] if len(line.strip()) >= _SHORTEST_LINE)
        self._secrets = sorted(
            secret for secret in known if len(secret) >= SHORTEST and secret.lower() not in _PLAIN_WORDS
        )
        self._written = sorted({form for secret in self._secrets for form in (secret, as_bytes(secret))})
        self._encoded = sorted({form for secret in self._secrets for form in encoded(secret)})
        self._with_spaces = any(" " in secret for secret in self._secrets)
        # Only these could appear by what a mask leaves beside it.
        self._starred = [secret for secret in self._secrets if "*" in secret]

    def __call__(self, text: str) -> str:
        masked = _masked(text, [*spans(text), *self._known(text)])
        if masked == text:
            return text
        return MASK if any(secret in masked for secret in self._starred) else masked

    def _known(self, text: str) -> Iterator[Span]:
        for secret in (*self._written, *self._encoded):
            yield from _found(text, secret)
        if self._secrets:
            for reading in readings(text, self._with_spaces):
                for secret in self._written:
                    for start, end in _found(reading.text, secret):
                        yield reading.origin(start, end)


def describe_error(error: BaseException, redact: Callable[[str], str]) -> str:
    """Return the traceback of an error as text without secrets, for a log."""
    return redact("".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())


def redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a copy of a value, such as the details of a report, with the secrets in its texts masked.

    Tuples and sets become lists, and an object whose text shows a secret its masked text. What contains itself, is
    nested deeper than ``DEEPEST`` or comes after ``MOST_VALUES`` values becomes "...".
    """
    return _Copy(redact).of(value, 0)


class _Copy:
    """A masked copy of a value."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._around: set[int] = set()
        self._left = MOST_VALUES

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
            return self._shown(value)
        if id(value) in self._around or depth >= DEEPEST or self._left <= 0:
            return CUT
        self._around.add(id(value))
        try:
            if isinstance(value, Mapping):
                return {self._shown(name): self.of(item, depth + 1) for name, item in value.items()}
            return [self.of(item, depth + 1) for item in value]
        finally:
            self._around.discard(id(value))

    def _shown(self, value: Any) -> Any:
        """Return an object as it is, unless its text shows a secret: then the masked text."""
        text = safe_str(value)
        masked = self._redact(text)
        return value if masked == text else masked


def _found(text: str, needle: str) -> Iterator[Span]:
    at = text.find(needle)
    while at >= 0:
        end = at + len(needle)
        yield at, end
        at = text.find(needle, end)


def _masked(text: str, found: list[Span]) -> str:
    """Replace the spans, of which any may overlap, by a mask each."""
    if not found:
        return text
    parts: list[str] = []
    position = 0
    start, end = -1, -1
    for first, last in sorted(found):
        if first > end:
            if end >= 0:
                parts += [text[position:start], MASK]
                position = end
            start, end = first, last
        else:
            end = max(end, last)
    parts += [text[position:start], MASK, text[end:]]
    return "".join(parts)
