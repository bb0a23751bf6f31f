"""Walks through messages of Spark Connect: what is nested in them, which names they use, what in them may fail."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from kindling_entities.engines.embedded._guards import ARITHMETIC, SPOT_KINDS

_WATCHED = frozenset([*ARITHMETIC, *SPOT_KINDS])
# Common functions that fail for some values; casts do, too.
_FALLIBLE = frozenset(
    [
        *["negative", "abs", "/", "%", "div", "mod", "pmod", "element_at", "raise_error", "assert_true", "to_number"],
        *["to_date", "to_timestamp", "make_date", "make_timestamp", "int", "bigint", "decimal", "timestamp", "date"],
    ]
)
_FALLIBLE_TEXT = re.compile(
    r"[-/%\[]|::|\b(?!try_)\w*(?:cast|abs|div|mod|negative|to_|make_|raise|int|dec|date|time)\w*\b"
)
_TRY = 3
_NAME = re.compile(r"`(?:[^`]|``)+`|[^\W\d]\w*")


def may_raise(message: Any) -> bool:
    """Whether an expression below a message may fail for some values without a guard."""
    name = message.DESCRIPTOR.name
    if name == "UnresolvedFunction" and message.function_name in _FALLIBLE:
        return True
    if name == "Cast" and message.eval_mode != _TRY:
        return True
    if name == "ExpressionString":
        return _FALLIBLE_TEXT.search(message.expression) is not None
    return name != "Relation" and any(map(may_raise, messages(message)))


def is_watched(message: Any) -> bool:
    """Whether a message names, at any depth, an operator or function that may have to be guarded."""
    name = message.DESCRIPTOR.name
    if name == "UnresolvedFunction" and message.function_name in _WATCHED:
        return True
    if name == "ExpressionString":
        return may_need_guard(message.expression)
    return any(map(is_watched, messages(message)))


def may_need_guard(text: str) -> bool:
    """Whether a text contains an operator or function name that may need a guard; the text is searched, not parsed."""
    lowered = text.lower()
    return any(name in lowered for name in _WATCHED) and lowered.strip() != "*"


def names_in(message: Any) -> set[str]:
    """The names of columns, in lower case, that expressions below a message may read; of SQL texts, every word."""
    name = message.DESCRIPTOR.name
    if name == "UnresolvedAttribute":
        text = message.unparsed_identifier
    elif name == "ExpressionString":
        text = message.expression
    elif name == "Relation":
        return set()
    else:
        return {found for below in messages(message) for found in names_in(below)}
    return {found.strip("`").replace("``", "`").lower() for found in _NAME.findall(text)}


def messages(message: Any) -> Iterator[Any]:
    """The messages in the fields of a message; of a repeated field each of its messages."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            # What is repeated is a container without a descriptor; a map yields its keys.
            items = [value] if hasattr(value, "DESCRIPTOR") else value
            yield from (item for item in items if hasattr(item, "DESCRIPTOR"))


def place(message: Any) -> str:
    """The "file.py:line" that made an expression, empty if that is not known."""
    origin = message.common.origin.python_origin.call_site if message.HasField("common") else ""
    file, _, line = origin.rpartition(":")
    return f"{os.path.basename(file)}:{line}" if file else ""
