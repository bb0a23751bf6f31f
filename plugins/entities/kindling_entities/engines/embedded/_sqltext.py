"""Reads the text of a SQL expression into a tree of calls and arithmetic, each with its place in the text.

What it does not understand it refuses (``Unreadable``); nothing is guessed, since what is found here gets rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<text>'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\")"
    r"|(?P<name>`(?:[^`]|``)*`)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:BD|[LSYFD])?(?!\w))"
    r"|(?P<word>[^\W\d]\w*|\d+[^\W\d]\w*)"
    r"|(?P<sign><=>|<=|>=|<>|!=|==|\|\||->|=>|::|<<|>>>?|[-+*/%(),.\[\]<>=&|^~:?!])",
    re.DOTALL | re.IGNORECASE,
)
_POWER = {"or": 1, "and": 2, "||": 8, "+": 8, "-": 8, "*": 9, "/": 9, "%": 9, "div": 9}
_POWER |= dict.fromkeys(["=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>"], 4)
_POWER |= {"|": 5, "^": 6, "&": 7, "<<": 7, ">>": 7, ">>>": 7}
_NOT, _COMPARE, _UNARY = 3, 4, 10
_MATCHERS = frozenset(["like", "ilike", "rlike", "regexp"])
_UNSUPPORTED = frozenset(["select", "exists", "with", "from", "any", "some", "all", "within"])


class Unreadable(Exception):
    """Text that this module does not understand."""


@dataclass
class Part:
    """A piece of the text.

    Attributes:
        kind: "arithmetic", "call", "constant" or "other".
        name: the operator, or the function in lower case.
        start, end: where it stands.
        parts: what it is made of.
        distinct: whether a call says so.
        call_end: where the arguments of a call end; what follows up to ``end`` is a window or a filter.
    """

    kind: str
    name: str
    start: int
    end: int
    parts: list[Part] = field(default_factory=list)
    distinct: bool = False
    call_end: int = 0

    def walk(self) -> Iterator[Part]:
        """This part and everything below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


_NO_OPERAND = frozenset(
    [
        *["select", "distinct", "all", "when", "then", "else", "and", "or", "not", "in"],
        *["by", "where", "on", "having", "between", "like", "from", "as", "case", "limit"],
    ]
)


def arithmetic_in(text: str) -> str | None:
    """The first operator +, - or * between two operands, or "sum", in any text of SQL; None if there is none."""
    tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup != "space"]
    words = [match.group().lower() for match in tokens]
    for index, word in enumerate(words):
        if word == "sum" and words[index + 1 : index + 2] == ["("]:
            return word
        if word not in ("+", "-", "*") or not index:
            continue
        before, kind = words[index - 1], tokens[index - 1].lastgroup
        operand = before in (")", "]") if kind == "sign" else kind != "word" or before not in _NO_OPERAND
        if operand and "interval" not in words[max(index - 3, 0) : index + 2]:
            return word
    return None


def parse(text: str) -> Part:
    """Read an expression, which may end with an alias.

    Raises:
        Unreadable: it has something that this module does not know.
    """
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int, int]] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.end() == position:
                raise Unreadable(text[position : position + 20])
            position = match.end()
            if match.lastgroup != "space":
                value = match.group()
                word = value.lower() if match.lastgroup == "word" else value
                self._tokens.append((match.lastgroup or "", word, match.start(), match.end()))
        self._at = 0

    def read(self) -> Part:
        part = self._expression(0)
        if self._take("as"):
            # Several names, as for a generator, are more than a column.
            if self._next()[0] not in ("word", "name"):
                raise Unreadable("as")
        elif self._at < len(self._tokens) and self._tokens[self._at][0] in ("word", "name"):
            self._next()
        if self._at < len(self._tokens):
            raise Unreadable(self._tokens[self._at][1])
        return part

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        index = self._at + ahead
        return self._tokens[index][:2] if index < len(self._tokens) else ("end", "")

    def _see(self, *values: str) -> bool:
        kind, value = self._peek()
        return kind in ("sign", "word") and value in values

    def _take(self, *values: str) -> bool:
        if not self._see(*values):
            return False
        self._at += 1
        return True

    def _need(self, value: str) -> None:
        if not self._take(value):
            raise Unreadable(self._peek()[1])

    def _next(self) -> tuple[str, str, int, int]:
        if self._at >= len(self._tokens):
            raise Unreadable("the end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _end(self) -> int:
        return self._tokens[self._at - 1][3]

    def _skip_parentheses(self) -> None:
        self._need("(")
        depth = 1
        while depth:
            kind, value, _, _ = self._next()
            if kind == "word" and value == "select":
                raise Unreadable(value)
            depth += (value == "(") - (value == ")") if kind == "sign" else 0

    def _expression(self, least: int) -> Part:
        left = self._prefix()
        while True:
            kind, value = self._peek()
            if kind not in ("sign", "word"):
                return left
            negated = value == "not" and self._peek(1)[1] in {"in", "between", *_MATCHERS}
            if negated or value in {"is", "in", "between", *_MATCHERS}:
                if least > _COMPARE:
                    return left
                left = self._comparison(left)
                continue
            power = _POWER.get(value)
            if power is None or power < least:
                return left
            self._next()
            right = self._expression(power + 1)
            arithmetic = value in ("+", "-", "*")
            left = Part("arithmetic" if arithmetic else "other", value, left.start, right.end, [left, right])

    def _comparison(self, left: Part) -> Part:
        self._take("not")
        parts = [left]
        _, word, _, _ = self._next()
        if word == "is":
            self._take("not")
            if self._take("distinct"):
                if self._peek()[1] != "from":
                    raise Unreadable("distinct")
                self._next()
                parts.append(self._expression(_COMPARE + 1))
            else:
                self._next()
        elif word == "in":
            parts.append(self._prefix())
        elif word == "between":
            parts.append(self._expression(_COMPARE + 1))
            self._need("and")
            parts.append(self._expression(_COMPARE + 1))
        else:
            parts.append(self._expression(_COMPARE + 1))
            if self._take("escape"):
                self._next()
        return Part("other", word, left.start, self._end(), parts)

    def _prefix(self) -> Part:
        kind, value, start, end = self._next()
        if kind in ("number", "text"):
            part = Part("constant", "", start, end)
        elif kind == "sign" and value in ("-", "+", "~", "!"):
            inside = self._expression(_UNARY)
            return Part("constant" if inside.kind == "constant" else "other", value, start, inside.end, [inside])
        elif kind == "sign" and value == "*":
            return Part("other", "*", start, end)
        elif kind == "sign" and value == "(":
            parts = [] if self._see(")") else self._arguments()
            self._need(")")
            part = Part("other", "(", start, self._end(), parts)
        elif kind == "word" and value == "not":
            inside = self._expression(_NOT)
            return Part("other", value, start, inside.end, [inside])
        elif kind == "word" and value == "case":
            part = self._case(start)
        elif kind == "word" and value == "interval":
            part = self._interval(start)
        elif kind == "word" and value in _UNSUPPORTED:
            raise Unreadable(value)
        elif kind == "word" and self._peek()[0] == "text":
            # date'2024-01-01', X'00'
            self._next()
            part = Part("constant", "", start, self._end())
        elif kind in ("word", "name"):
            constant = kind == "word" and value in ("null", "true", "false")
            part = (
                self._call(value, start)
                if self._see("(")
                else Part("constant" if constant else "other", "", start, end)
            )
        else:
            raise Unreadable(value)
        return self._postfix(part)

    def _postfix(self, part: Part) -> Part:
        while True:
            if self._take("["):
                index = self._expression(0)
                self._need("]")
                part = Part("other", "[", part.start, self._end(), [part, index])
            elif self._take("."):
                if self._next()[0] not in ("word", "name", "sign"):
                    raise Unreadable(".")
                part = Part("other", ".", part.start, self._end(), [part])
            elif self._take("::"):
                self._type()
                part = Part("other", "cast", part.start, self._end(), [part])
            else:
                return part

    def _type(self) -> None:
        self._next()
        if self._see("("):
            self._skip_parentheses()
        if self._see("<"):
            raise Unreadable("<")

    def _case(self, start: int) -> Part:
        parts = []
        if not self._see("when"):
            parts.append(self._expression(0))
        while self._take("when"):
            parts.append(self._expression(0))
            self._need("then")
            parts.append(self._expression(0))
        if self._take("else"):
            parts.append(self._expression(0))
        self._need("end")
        return Part("other", "case", start, self._end(), parts)

    def _interval(self, start: int) -> Part:
        while True:
            self._take("-")
            if self._next()[0] not in ("number", "text"):
                raise Unreadable("interval")
            if self._peek()[0] == "word" and not self._see("and", "or", "then", "as", "else", "end", "when"):
                self._next()
            if self._take("to"):
                self._next()
            if self._peek()[0] not in ("number", "text"):
                return Part("other", "interval", start, self._end())

    def _call(self, name: str, start: int) -> Part:
        self._need("(")
        distinct = self._take("distinct")
        parts = [] if self._see(")") else self._arguments()
        if name in ("cast", "try_cast") and self._take("as"):
            self._type_until_closed()
        self._need(")")
        part = Part("call", name, start, self._end(), parts, distinct, self._end())
        while self._see("filter", "over", "ignore", "respect"):
            if self._take("ignore", "respect"):
                self._need("nulls")
                continue
            self._next()
            if self._see("("):
                self._skip_parentheses()
            else:
                self._next()
            part.end = self._end()
        return part

    def _type_until_closed(self) -> None:
        depth = 0
        while True:
            kind, value = self._peek()
            if kind == "end":
                raise Unreadable("cast")
            if kind == "sign" and value == ")" and depth == 0:
                return
            depth += (value == "(") - (value == ")") if kind == "sign" else 0
            self._next()

    def _arguments(self) -> list[Part]:
        parts = []
        while True:
            if self._see("from", "for"):
                raise Unreadable(self._peek()[1])
            parts.append(self._expression(0))
            if self._see("->", "=>", "from", "for"):
                raise Unreadable(self._peek()[1])
            if self._peek()[1] == "as" and self._peek(1)[0] in ("word", "name") and self._peek(2)[1] in (",", ")"):
                name = self._tokens[self._at + 1][1]
                # Not the type of a cast, which looks the same.
                if self._peek(2)[1] == "," or name not in _TYPES:
                    self._at += 2
            if not self._take(","):
                return parts


_TYPES = frozenset(
    [
        *["tinyint", "byte", "smallint", "short", "int", "integer", "bigint", "long", "float", "real"],
        *["double", "decimal", "dec", "numeric", "string", "boolean", "binary", "date", "timestamp", "timestamp_ntz"],
        *["timestamp_ltz", "void", "variant"],
    ]
)
