"""Finds secrets that nobody has named as such by the form in which a text shows them.

Every search here takes time in proportion to the text, whatever it holds: patterns begin where a word begins, repeat
nothing that repeats, and what was looked through once is not looked through again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kindling_core.secrets.names import is_bare_key, is_secret_name

Span = tuple[int, int]

_SPACE = re.compile(r"\s")
_END_OF_USER = re.compile(r"[/?#;]")
_PORTS = re.compile(r"[0-9]{1,5}(?:,[A-Za-z0-9_.\-]+(?::[0-9]{1,5})?)*")
_NAME = re.compile(r"(?<![\w.\-])[\w.\-]{1,200}(?=[ \t]{0,3}=(?!=))")
_ASSIGN = re.compile(r"[ \t]{0,3}=[ \t]{0,3}")
_SPACED_NAME = re.compile(r"[\w \-]{1,40}")
_QUOTED_NAME = re.compile(r"(?P<quote>\\{0,3}[\"'])(?P<name>[\w.\-]{1,200})(?P=quote)[ \t]{0,3}:[ \t]{0,3}")
_QUOTE = re.compile(r"\\{0,3}[\"']")
_BEARER = re.compile(r"(?<!\w)bearer[ \t]{1,3}([\w.~+/\-]{16,}=*)", re.IGNORECASE)
_AUTHORIZATION = re.compile(
    r"(?<!\w)authorization[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?(?:[a-z]{1,20}[ \t]{1,3})?([^\s\"']+)", re.IGNORECASE
)
# Where a value ends that is in no quotes, by what stands before its name.
_END_IN_QUERY = re.compile(r"[&#;\s\"']")
_END_IN_LIST = re.compile(r"[;\s\"']")
_END_IN_SETTING = re.compile(r"[;\n]")
_CLOSING = {'"': '"', "'": "'", "{": "}"}
_NO_SECRETS = frozenset({"", "none", "null", "true", "false", "***"})
# These are secrets in the query of a URL, and anything elsewhere.
_IN_QUERY = frozenset({"sig", "signature", "x-amz-signature", "x-goog-signature"})
_TOKEN_SCHEMES = frozenset({"http", "https"})


def secrets_in(setting: str) -> list[str]:
    """Return the secrets that the value of a setting shows by their form, such as a password within a URL."""
    return [setting[start:end] for start, end in spans(setting, whole=True)]


def spans(text: str, whole: bool = False) -> list[Span]:
    """Return where secrets stand in a text: passwords in URLs, ``password=...``, ``&sig=...``, private keys.

    Args:
        whole: the text is the value of a setting, so that a password in it may hold spaces.
    """
    found: list[Span] = []
    if "://" in text:
        found += _in_urls(text, whole)
    if "=" in text:
        found += _assigned(text, whole)
    if ":" in text:
        found += _in_dicts(text)
        found += (match.span(1) for match in _AUTHORIZATION.finditer(text))
    found += (match.span(1) for match in _BEARER.finditer(text))
    if "PRIVATE KEY-----" in text:
        found += _private_keys(text)
    return found


def _in_urls(text: str, whole: bool) -> Iterator[Span]:
    """Find passwords in URLs: from the first colon to the last ``@``, since a password may hold ``@``, ``/``, ``#``."""
    at = text.find("://")
    end = last = 0
    first = _SPACE.search(text)
    while at >= 0:
        begin = at + 3
        if begin > end:
            alone = whole and (first is None or first.start() > at)
            space = None if alone else _SPACE.search(text, begin)
            end = len(text) if space is None else space.start()
            last = text.rfind("@", begin, end)
        if last > begin and at > 0 and text[at - 1].isalnum() and text[begin] != "[":
            span = _password(text, at, last)
            if span is not None:
                yield span
                begin = max(begin, span[1])
        elif last <= begin:
            begin = end
        at = text.find("://", begin)


def _password(text: str, at: int, last: int) -> Span | None:
    begin = at + 3
    scheme = re.compile(r"[A-Za-z0-9]+$").search(text[max(0, at - 12) : at])
    kind = scheme.group().lower() if scheme else ""
    colon = text.find(":", begin, last)
    stop = _END_OF_USER.search(text, begin, last)
    limit = stop.start() if stop else last
    if colon < 0 or limit < colon:
        # Without a password a user is a place (`abfss://container@account`), but a token for git and pip.
        first = text.find("@", begin, limit + 1)
        return (begin, first) if kind in _TOKEN_SCHEMES and first > begin else None
    if _PORTS.fullmatch(text, colon + 1, limit) and stop:
        return None
    if limit == colon + 1 and kind == "file":
        return None
    return (colon + 1, last) if last > colon + 1 else None


def _assigned(text: str, whole: bool) -> Iterator[Span]:
    """Find what is assigned to names of secrets: ``;AccountKey=...``, ``?password=...``, ``token = '...'``."""
    match = _NAME.search(text)
    while match is not None:
        begin = _ASSIGN.match(text, match.end()).end()  # type: ignore[union-attr]  # the name is followed by it
        sign, name = _before(text, match)
        following = begin
        if _names_secret(name, sign):
            begin, following = _value(text, begin, sign, whole)
            if text[begin:following].lower() not in _NO_SECRETS:
                yield begin, following
        match = _NAME.search(text, following)


def _before(text: str, match: re.Match[str]) -> tuple[str, str]:
    """Return the sign before a name, "" at the beginning, and the name with the words before it (``Access Key``)."""
    start, name = match.start(), match.group()
    sign = text[start - 1] if start else ""
    if sign == " ":
        early = text[max(0, start - 40) : start]
        words = early.rpartition(";")
        if words[1] and _SPACED_NAME.fullmatch(words[2]):
            return ";", words[2] + name
    return sign, name


def _names_secret(name: str, sign: str) -> bool:
    if sign in ("?", "&", ";"):
        return is_secret_name(name) or (sign != ";" and name.lower() in _IN_QUERY)
    return is_secret_name(name) and not is_bare_key(name)


def _value(text: str, begin: int, sign: str, whole: bool) -> Span:
    """Return where a value stands; what is in quotes that are not closed ends with its line."""
    closing = _CLOSING.get(text[begin : begin + 1])
    if closing is not None:
        line = text.find("\n", begin)
        line = len(text) if line < 0 else line
        end = text.find(closing, begin + 1, line)
        # A driver's string writes `a}b` as `{a}}b}`; the same holds for quotes.
        while end >= 0 and text[end + 1 : end + 2] == closing:
            end = text.find(closing, end + 2, line)
        if end < 0:
            return begin + 1, line
        if closing != "}":
            return begin + 1, end
    pattern = _END_IN_QUERY if sign in ("?", "&") else _END_IN_SETTING if whole and sign != " " else _END_IN_LIST
    stop = pattern.search(text, begin if closing is None else end)
    return begin, stop.start() if stop else len(text)


def _in_dicts(text: str) -> Iterator[Span]:
    """Find the values of quoted names: ``{"password": "..."}``."""
    match = _QUOTED_NAME.search(text)
    while match is not None:
        begin = match.end()
        quote = _QUOTE.match(text, begin)
        if quote is None or not is_secret_name(match["name"]):
            match = _QUOTED_NAME.search(text, begin)
            continue
        begin = quote.end()
        end = _unescaped(text, quote.group(), begin)
        if text[begin:end].lower() not in _NO_SECRETS:
            yield begin, end
        match = _QUOTED_NAME.search(text, end + len(quote.group()))


def _unescaped(text: str, quote: str, begin: int) -> int:
    """Return where a quoted value ends: at its quote, unless more backslashes stand before that; else with the text."""
    end = text.find(quote[-1], begin)
    while end >= 0:
        first = end
        while first > begin and text[first - 1] == "\\":
            first -= 1
        slashes = end - first
        if slashes == len(quote) - 1 or (len(quote) == 1 and slashes % 2 == 0):
            return end + 1 - len(quote)
        end = text.find(quote[-1], end + 1)
    return len(text)


def _private_keys(text: str) -> Iterator[Span]:
    """Find what stands between the lines that begin and end a private key."""
    at = text.find("PRIVATE KEY-----")
    while at >= 0:
        begin = at + len("PRIVATE KEY-----")
        end = text.find("-----END", begin)
        end = len(text) if end < 0 else end
        if end > begin:
            yield begin, end
        following = text.find("-----BEGIN", end)
        at = text.find("PRIVATE KEY-----", following) if following >= 0 else -1
