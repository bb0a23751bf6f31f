"""Which names are those of secrets. A name is read by its words: ``account.key``, ``AccountKey``, ``ACCOUNT-KEY``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# The working directory, although `pwd` is what some drivers call a password.
_FOLDERS = frozenset({"PWD", "OLDPWD"})

_SEGMENT = re.compile(r"[.\s/:\[\]]+")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_KEY_OWNERS = "access|account|api|app|application|auth|authentication|aws|azure|client|decryption|deploy|encryption"
_KEY_OWNERS += "|gpg|hmac|instrumentation|jwt|kms|license|licence|master|pgp|private|secret|security|service|shared"
_KEY_OWNERS += "|sign|signing|ssh|ssl|storage|subscription|symmetric|tls|webhook"
_PASSWORD = r"passw(?:or)?d(?!less)|passphrase|passcode|passkey|credential"
# Searched in one word, whose length the name bounds.
_STRONG = re.compile(
    rf"(?:{_PASSWORD})|(?:secrets?|tokens?|pwds?)$|(?:access|account|api|auth|encryption|master|private|secret|shared"
    r"|signing|ssh|storage)keys?(?:id)?$|^(?:sas|jwt|authorization|connectionstrings?|connstr|connstring)$"
)
# Every name of a secret holds a part of these; most others are sorted out by it.
_HINT = re.compile(r"pass|pwd|secret|token|credential|key|sas|jwt|auth|conn", re.IGNORECASE)
_OWNER_OF_KEY = re.compile(rf"(?:{_KEY_OWNERS})")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# A `key` of these is a key of rows, such as `primary.key`.
_ROWS = _set(
    "business cache cluster clustering column composite dedup distribution foreign group grouping hash idempotency "
    "index join lookup map merge message natural order partition partitioning primary record row sort surrogate unique"
)
_OWNERS_OF_PASS = _set("admin database db ftp http login mysql pg proxy root sftp smtp sql user")
# What follows says that the value is about a secret and is not the secret: `token_count`, `password_file`.
_ABOUT = _set(
    "age algorithm bytes column columns converter count days deserializer dir enabled endpoint expires expiry field "
    "fields file folder format hours index kind length lifetime limit location max min minutes ms name names optional "
    "path per policy provider required rotation rows scope seconds serializer size ttl type uri url vault version"
)
_NUMBER_OF = _set("count max maximum min minimum num number total")


def is_secret_name(name: str) -> bool:
    """Return whether a setting of this name, which may be dotted, holds a secret; see docs/configuration.md."""
    if _HINT.search(name) is None:
        return False
    words = _words(name)
    return any(_is_secret(words, index) for index in range(len(words)))


def is_secret_variable(name: str) -> bool:
    """Return whether an environment variable of this name holds a secret."""
    return name not in _FOLDERS and is_secret_name(name)


def is_bare_key(name: str) -> bool:
    """Return whether a name is just ``key``, which in a text that is no setting may be anything."""
    return name.lower() == "key"


def secrets_of_environment(environ: Mapping[str, str]) -> list[str]:
    """Return the values of the variables whose names are those of secrets."""
    return [value for name, value in environ.items() if is_secret_variable(name)]


def _words(name: str) -> list[tuple[str, bool, bool]]:
    """Return the words of a name: the word, whether it begins its dotted part, and whether it ends it."""
    found: list[tuple[str, bool, bool]] = []
    for segment in _SEGMENT.split(name):
        words = [word for piece in _PIECE.findall(segment) for word in _words_of(piece)]
        found += [(word, at == 0, at == len(words) - 1) for at, word in enumerate(words)]
    return found


def _words_of(piece: str) -> list[str]:
    # A number says nothing: `token2`, `api_key_1`.
    words = [word.lower() for word in _CAMEL.findall(piece)]
    whole = piece.lower()
    # `PassWord` and `ApiKEY1` are odd ways to write one word.
    return words if any(_STRONG.search(word) for word in words) or not _STRONG.search(whole) else [whole]


def _is_secret(words: Sequence[tuple[str, bool, bool]], index: int) -> bool:
    word, begins, ends = words[index]
    before = words[index - 1][0] if index else ""
    after = words[index + 1][0] if index + 1 < len(words) else ""
    if after in _ABOUT:
        return False
    if _STRONG.search(word):
        # Of several words in a row the last decides: `secret_token_count` is a count.
        if after and _STRONG.search(after):
            return False
        return not (word.endswith("s") and before in _NUMBER_OF)
    if word == "pass":
        return (begins and ends) or before in _OWNERS_OF_PASS
    if word in ("key", "keys") and not begins:
        return _OWNER_OF_KEY.fullmatch(before) is not None
    if word == "key" and ends:
        return before not in _ROWS
    return word in ("string", "strings", "str") and not begins and before in ("connection", "conn")
