"""The section ``[entities]`` of the job file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator
from typing_extensions import Self

from kindling_core.config import Section

# An empty value lets the environment or the command line take away what the job file says.
OptionalText = Annotated[str | None, AfterValidator(lambda given: given or None)]


class SparkConfig(Section):
    """``[entities.spark]``: the session that is started where none runs. A running session is used unchanged."""

    master: OptionalText = Field(
        default=None, description='such as "local[4]" or "spark://host:7077"; default "local[*]"'
    )
    remote: OptionalText = Field(
        default=None, description='Spark Connect: "sc://host:port", or "local[n]" to start a server here'
    )
    conf: dict[str, str] = Field(default_factory=dict, description="further spark.* settings")

    @field_validator("conf", mode="before")
    @classmethod
    def _dotted(cls, given: Any) -> Any:
        # `spark.sql.shuffle.partitions = 4` without quotes is a table in a table to TOML.
        return dict(_flat(given)) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.master is not None and self.remote is not None:
            raise ValueError("master and remote are two places to run; name one")
        return self


class EntitiesConfig(Section):
    """``[entities]``: where the tables lie and what computes them."""

    engine: str = Field(
        "embedded",
        description="what computes and commits: embedded, spark, auto (spark where a session runs already, else "
        "embedded), or one that a plugin offers",
    )
    root: str = Field("./lake", description="folder of the tables, relative to the job file; or a URI such as s3://...")
    catalog: OptionalText = Field(
        default=None,
        description='catalog that names the Delta tables, such as "main" or "spark_catalog", in place of root; '
        "spark engine only (with auto: where a session runs)",
    )
    schemas: dict[str, str] = Field(
        default_factory=dict, description="with catalog: layer -> schema, where they are called differently"
    )
    warn_of_overflow: bool = Field(
        default=True,
        description="on the embedded engine: warn of arithmetic in SQL text and lambda functions, which is not checked "
        "for overflow",
    )
    spark: SparkConfig = Field(default_factory=lambda: SparkConfig(), description="the session of the spark engine")


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value).lower() if isinstance(value, bool) else str(value)
