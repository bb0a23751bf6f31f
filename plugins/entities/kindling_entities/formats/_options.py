"""The options of text files: their syntax, and what happens to rows and values that do not parse."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ON_BAD_VALUE = ("fail", "null", "quarantine")
ON_BAD_ROW = ("fail", "skip", "quarantine")
MISSING_COLUMNS = ("fail", "null")


@dataclass(frozen=True)
class TextOptions:
    """The options of a csv or json source.

    Attributes:
        null_values: texts that mean null where they are not quoted; an empty field always does.
        on_bad_row: for a row that has another number of fields, or quotes that do not end.
        on_bad_value: for a value that does not parse as its declared type.
        infer_types: choose types that print back as the text came, in place of text.
        missing_columns: whether a file of a folder may lack columns of the others, which are null then.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    skip_rows: int = 0
    null_values: tuple[str, ...] = ()
    member: str | None = None
    on_bad_row: str = "fail"
    on_bad_value: str = "fail"
    infer_types: bool = False
    missing_columns: str = "fail"

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TextOptions:
        """Read them from a declaration.

        Raises:
            ValueError: a value cannot be used; the message says which are.
        """
        given = dict(options)
        nulls = given.pop("null_values", ())
        for name in ("quote", "escape"):
            given[name] = given.get(name, cls.__dataclass_fields__[name].default) or None
        made = cls(null_values=(nulls,) if isinstance(nulls, str) else tuple(nulls), **given)
        made._check()
        return made

    def _check(self) -> None:
        for name in ("delimiter", "quote", "escape"):
            value = getattr(self, name)
            if value is not None and (
                not isinstance(value, str) or len(value) != 1 or value > "\x7f" or value in "\r\n"
            ):
                raise ValueError(f"{name} is {value!r}; it must be one ASCII character")
        if len({self.delimiter, self.quote or "", self.escape or ""} - {""}) < 1 + bool(self.quote) + bool(self.escape):
            raise ValueError("delimiter, quote and escape must differ")
        for name, allowed in (
            ("on_bad_row", ON_BAD_ROW),
            ("on_bad_value", ON_BAD_VALUE),
            ("missing_columns", MISSING_COLUMNS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not one of {', '.join(map(repr, allowed))}")
        for name in ("header", "infer_types"):
            if getattr(self, name) not in (True, False):
                raise ValueError(f"{name} is {getattr(self, name)!r}, not True or False")
        if not isinstance(self.skip_rows, int) or self.skip_rows < 0:
            raise ValueError(f"skip_rows is {self.skip_rows!r}; it must be a number of lines")
        try:
            codecs.lookup(self.encoding)
        except (LookupError, TypeError):
            raise ValueError(
                f"encoding is {self.encoding!r}, which Python does not know. Use a name such as 'latin-1'"
            ) from None

    @property
    def quarantines(self) -> bool:
        """Whether rows go to a quarantine."""
        return "quarantine" in (self.on_bad_row, self.on_bad_value)
