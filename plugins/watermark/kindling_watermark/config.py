"""The section ``[watermark]`` of the job file."""

from __future__ import annotations

from pydantic import Field

from kindling_core import Section


class WatermarkConfig(Section):
    """``[watermark]``."""

    catch_up: bool = Field(
        True, description="with max_versions, max_rows or max_bytes: read slice after slice until nothing is left"
    )
