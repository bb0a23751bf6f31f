"""The section ``[entities]`` of the job file."""

from __future__ import annotations

from pydantic import Field

from kindling_core.config import Section


class EntitiesConfig(Section):
    """``[entities]``: where the tables lie and what computes them."""

    engine: str = Field("embedded", description="what computes and commits: embedded, or one that a plugin offers")
    root: str = Field("./lake", description="folder of the tables, relative to the job file")
