"""Which column statistics delta-rs writes."""

from __future__ import annotations

import pyarrow as pa
from deltalake import ColumnProperties, WriterProperties


def without_float_statistics(schema: pa.Schema) -> WriterProperties | None:
    """Writer properties for files of this schema; None where the defaults of delta-rs are right.

    The statistics of delta-rs leave NaN out, so Spark and Sail would skip files that hold matching rows. Columns of
    floats therefore get no statistics, in the file and in the log.
    """
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    if not floats:
        return None
    none = ColumnProperties(statistics_enabled="NONE")
    # The compression that delta-rs uses without properties.
    return WriterProperties(compression="SNAPPY", column_properties=dict.fromkeys(floats, none))
