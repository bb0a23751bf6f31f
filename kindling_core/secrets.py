"""Keeps secrets out of everything that is printed, logged, stored or sent."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

_SECRET_NAME = re.compile(
    r"(passw(or)?d|passphrase|secret|token|api_?key|access_?key|private_?key|credential|sas)", re.IGNORECASE
)
# scheme://user:password@host
_URL_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*:)(?P<password>[^\s@/]+)(?=@)", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a setting or environment variable of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def url_passwords(text: str) -> list[str]:
    """Return the passwords that stand in URLs within ``text``."""
    return [match["password"] for match in _URL_PASSWORD.finditer(text)]


class Redactor:
    """Replaces known secret values, and passwords in URLs, by ``***``."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first, so that a secret that contains another is masked whole. Very short values would
        # mask half of every message and protect nothing.
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _URL_PASSWORD.sub(rf"\g<head>{MASK}", text)
