"""Chooses types for columns of text: only types that print every value back as it came."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_INTEGER = r"^(0|-?[1-9]\d*)$"
_DECIMAL = r"^-?(0|[1-9]\d*)\.\d+$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_LARGEST = 38


class Column:
    """The types that all texts of a column so far could have."""

    def __init__(self) -> None:
        self._seen = False
        self._boolean = self._integer = self._bigint = self._date = self._decimal = True
        self._scale: int | None = None
        self._digits = self._places = 0

    def see(self, texts: pa.Array) -> None:
        """Take more values into account; null says nothing."""
        texts = texts.drop_null()
        if not len(texts):
            return
        self._seen = True
        if self._boolean:
            self._boolean = bool(pc.all(pc.is_in(texts, pa.array(["true", "false"]))).as_py())
        if self._integer:
            self._integer = self._first_match(texts, _INTEGER) and self._see_integers(texts)
        if self._decimal:
            self._decimal = self._first_match(texts, _DECIMAL) and self._see_decimals(texts)
        if self._date:
            self._date = self._first_match(texts, _DATE) and self._prints_back(texts, pa.date32())

    @staticmethod
    def _first_match(texts: pa.Array, pattern: str) -> bool:
        # Most columns that do not fit show it at once.
        return bool(pc.all(pc.match_substring_regex(texts.slice(0, 64), pattern)).as_py())

    @staticmethod
    def _prints_back(texts: pa.Array, kind: pa.DataType) -> bool:
        try:
            return bool(pc.all(pc.equal(texts.cast(kind).cast(pa.string()), texts)).as_py())
        except pa.ArrowInvalid:
            return False

    def _see_integers(self, texts: pa.Array) -> bool:
        self._bigint = self._bigint and self._prints_back(texts, pa.int64())
        if not self._bigint:
            self._digits = max(self._digits, pc.max(pc.utf8_length(pc.utf8_ltrim(texts, "-"))).as_py())
            return self._digits <= _LARGEST and bool(pc.all(pc.match_substring_regex(texts, _INTEGER)).as_py())
        self._digits = max(self._digits, 19)
        return True

    def _see_decimals(self, texts: pa.Array) -> bool:
        if not pc.all(pc.match_substring_regex(texts, _DECIMAL)).as_py():
            return False
        plain = pc.utf8_ltrim(texts, "-")
        # -0.0 would come back without its sign.
        if pc.any(pc.match_substring_regex(texts, r"^-0\.0+$")).as_py():
            return False
        length, point = pc.utf8_length(plain), pc.find_substring(plain, ".")
        scales = pc.min_max(pc.subtract(pc.subtract(length, point), 1)).as_py()
        if scales["min"] != scales["max"] or self._scale not in (None, scales["min"]):
            return False
        self._scale = scales["min"]
        self._places = max(self._places, pc.max(point).as_py() + scales["min"])
        return self._places <= _LARGEST

    def type(self) -> pa.DataType:
        """The type that fits everything seen; text where none does, or nothing was seen."""
        if not self._seen:
            return pa.string()
        if self._boolean:
            return pa.bool_()
        if self._integer:
            return pa.int64() if self._bigint else pa.decimal128(_LARGEST, 0)
        if self._decimal and self._scale is not None:
            # Room for greater numbers than came so far.
            return pa.decimal128(18 if self._places <= 18 else _LARGEST, self._scale)
        return pa.date32() if self._date else pa.string()
