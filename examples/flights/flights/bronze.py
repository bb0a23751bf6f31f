"""Raw files to tables, unchanged: what came is kept."""

from __future__ import annotations

from pyspark.sql import DataFrame

from kindling_core import Pipes

pipes = Pipes()


# The largest first: what depends on it waits the longest.
@pipes.pipe("bronze.flights", inputs=["raw.flights"], output="bronze.flights", tags=["bronze"])
def flights(raw_flights: DataFrame) -> DataFrame:
    return raw_flights


@pipes.pipe("bronze.airlines", inputs=["raw.airlines"], output="bronze.airlines", tags=["bronze"])
def airlines(raw_airlines: DataFrame) -> DataFrame:
    return raw_airlines


@pipes.pipe("bronze.airports", inputs=["raw.airports"], output="bronze.airports", tags=["bronze"])
def airports(raw_airports: DataFrame) -> DataFrame:
    return raw_airports


@pipes.pipe("bronze.planes", inputs=["raw.planes"], output="bronze.planes", tags=["bronze"])
def planes(raw_planes: DataFrame) -> DataFrame:
    return raw_planes


@pipes.pipe("bronze.weather", inputs=["raw.weather"], output="bronze.weather", tags=["bronze"])
def weather(raw_weather: DataFrame) -> DataFrame:
    return raw_weather
