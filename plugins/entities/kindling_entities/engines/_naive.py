"""Makes a Python datetime without a zone mean UTC, which is the zone of the sessions that an engine starts.

pyspark reads such a datetime in the zone of the machine, both in constants and rows that it sends and in rows that it
returns. The same pipe would then give other rows in another country, and ``collect()`` others than ``toPandas()``.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Callable
from typing import Any

_EPOCH = datetime.datetime(1970, 1, 1)


def naive_is_utc() -> None:
    """Change how pyspark converts timestamps in this process; harmless when done before."""
    from pyspark.sql import conversion, types
    from pyspark.sql.pandas import types as pandas_types

    timestamp: Any = types.TimestampType
    if timestamp.toInternal is to_internal:
        return
    timestamp.toInternal, timestamp.fromInternal = to_internal, from_internal
    rows_in: Any = conversion.LocalDataToArrowConversion
    rows_in._create_converter = staticmethod(_converting(rows_in._create_converter, timestamp, _aware))
    rows_out: Any = conversion.ArrowTableToRowsConversion
    rows_out._create_converter = staticmethod(_converting(rows_out._create_converter, timestamp, None))
    _convert_for_java(types.DatetimeConverter)
    # What `toPandas` of a classic session takes the datetimes for that it was given.
    pandas_types._get_local_timezone = _utc


def to_internal(self: Any, value: datetime.datetime | None) -> int | None:
    """Microseconds since 1970; in place of ``TimestampType.toInternal``."""
    if value is None:
        return None
    seconds = calendar.timegm(value.utctimetuple() if value.tzinfo else value.timetuple())
    return seconds * 1_000_000 + value.microsecond


def from_internal(self: Any, value: int | None) -> datetime.datetime | None:
    """A datetime without a zone, in UTC; in place of ``TimestampType.fromInternal``."""
    return None if value is None else _EPOCH + datetime.timedelta(microseconds=value)


def _utc() -> str:
    return "UTC"


def _aware(value: Any) -> Any:
    naive = isinstance(value, datetime.datetime) and value.tzinfo is None
    return value.replace(tzinfo=datetime.timezone.utc) if naive else value


def _naive(value: Any) -> Any:
    return None if value is None else value.astimezone(datetime.timezone.utc).replace(tzinfo=None)


def _converting(
    create: Callable[..., Any], timestamp: type, before: Callable[[Any], Any] | None
) -> Callable[..., Callable[[Any], Any]]:
    """Wrap what makes pyspark's converters of values; ``before`` changes what goes in, None replaces the whole."""

    def make(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(kind, timestamp):
            return create(kind, *args, **kwargs)
        if before is None:
            return _naive
        convert = create(kind, *args, **kwargs)
        return lambda value: convert(before(value))

    return make


def _convert_for_java(converter: Any) -> None:
    convert = converter.convert

    def made(self: Any, value: datetime.datetime, gateway: Any) -> Any:
        return convert(self, _aware(value), gateway)

    converter.convert = made
