"""Which statistics delta-rs writes."""

from __future__ import annotations

import pyarrow as pa
from deltalake import ColumnProperties, WriterProperties


def told(schema: pa.Schema) -> WriterProperties | None:
    """How delta-rs writes files of this schema; None as it does by itself.

    Its statistics leave NaN out, so that Spark and Sail lose rows by them. Floats get none, in the file and in the log.
    """
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    if not floats:
        return None
    none = ColumnProperties(statistics_enabled="NONE")
    # The compression that it takes where nobody gives it properties.
    return WriterProperties(compression="SNAPPY", column_properties=dict.fromkeys(floats, none))
