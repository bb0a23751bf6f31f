"""Answers. Delays are in minutes; a cancelled flight has none and counts as cancelled."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from kindling_core import Pipes

pipes = Pipes()


def _figures() -> list[Column]:
    return [
        F.count("*").alias("flights"),
        F.sum(F.col("cancelled").cast("int")).alias("cancelled"),
        F.avg("departure_delay").alias("mean_departure_delay"),
        F.avg("arrival_delay").alias("mean_arrival_delay"),
    ]


@pipes.pipe(
    "gold.carrier_delays",
    inputs={"flights": "silver.flights_enriched"},
    output="gold.carrier_delays",
    tags=["gold", "nightly"],
)
def carrier_delays(flights: DataFrame) -> DataFrame:
    return flights.groupBy("carrier", "airline", "month").agg(*_figures()).orderBy("carrier", "month")


@pipes.pipe(
    "gold.route_delays",
    inputs={"flights": "silver.flights_enriched"},
    output="gold.route_delays",
    tags=["gold", "nightly"],
)
def route_delays(flights: DataFrame) -> DataFrame:
    distance = F.avg("distance_miles").alias("distance_miles")
    return flights.groupBy("origin", "dest", "destination").agg(*_figures(), distance).orderBy("origin", "dest")


@pipes.pipe(
    "gold.weather_effect", inputs={"flights": "silver.flights_enriched"}, output="gold.weather_effect", tags=["gold"]
)
def weather_effect(flights: DataFrame) -> DataFrame:
    conditions = (
        F.when(F.col("rain_inches").isNull(), "unknown")
        .when(F.col("rain_inches") >= 0.1, "heavy rain")
        .when(F.col("rain_inches") > 0, "light rain")
        .when(F.col("visibility_miles") < 3, "fog")
        .when(F.col("wind_mph") >= 25, "strong wind")
        .otherwise("fair")
    )
    return flights.withColumn("conditions", conditions).groupBy("conditions").agg(*_figures()).orderBy("conditions")


@pipes.pipe(
    "gold.worst_days",
    inputs={"flights": "silver.flights_enriched", "weather": "silver.daily_weather"},
    output="gold.worst_days",
    tags=["gold"],
)
def worst_days(flights: DataFrame, weather: DataFrame) -> DataFrame:
    in_rain = F.count(F.when(F.col("rain_inches") > 0, 1)).alias("flights_in_rain")
    days = flights.groupBy("day").agg(*_figures(), in_rain)
    return days.join(weather, "day", "left").orderBy(F.desc("mean_departure_delay"), "day").limit(20)
