"""Types, names and keys; then each departure with all that is known of it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kindling_core import Pipes

pipes = Pipes()


@pipes.pipe("silver.airlines", inputs=["bronze.airlines"], output="silver.airlines", tags=["silver"])
def airlines(bronze_airlines: DataFrame) -> DataFrame:
    return bronze_airlines.select("carrier", F.col("name").alias("airline"))


@pipes.pipe("silver.airports", inputs=["bronze.airports"], output="silver.airports", tags=["silver"])
def airports(bronze_airports: DataFrame) -> DataFrame:
    return bronze_airports.select(
        "faa",
        F.col("name").alias("airport"),
        F.col("lat").cast("double").alias("latitude"),
        F.col("lon").cast("double").alias("longitude"),
        F.col("alt").cast("int").alias("altitude_feet"),
        F.col("tzone").alias("time_zone"),
    )


@pipes.pipe("silver.planes", inputs=["bronze.planes"], output="silver.planes", tags=["silver"])
def planes(bronze_planes: DataFrame) -> DataFrame:
    return bronze_planes.select(
        "tailnum",
        F.col("year").cast("int").alias("built"),
        "manufacturer",
        "model",
        F.col("seats").cast("int").alias("seats"),
    )


@pipes.pipe("silver.weather", inputs=["bronze.weather"], output="silver.weather", tags=["silver"])
def weather(bronze_weather: DataFrame) -> DataFrame:
    return bronze_weather.select(
        "origin",
        F.col("time_hour").cast("timestamp").alias("time_hour"),
        F.col("temp").cast("double").alias("temperature_fahrenheit"),
        F.col("wind_speed").cast("double").alias("wind_mph"),
        F.col("precip").cast("double").alias("rain_inches"),
        F.col("visib").cast("double").alias("visibility_miles"),
    )


@pipes.pipe("silver.flights", inputs=["bronze.flights"], output="silver.flights", tags=["silver"])
def flights(bronze_flights: DataFrame) -> DataFrame:
    return bronze_flights.select(
        F.col("time_hour").cast("timestamp").alias("time_hour"),
        F.make_date("year", "month", "day").alias("day"),
        F.col("month").cast("int").alias("month"),
        "carrier",
        F.col("flight").cast("int").alias("flight"),
        "tailnum",
        "origin",
        "dest",
        F.col("dep_delay").cast("double").alias("departure_delay"),
        F.col("arr_delay").cast("double").alias("arrival_delay"),
        F.col("distance").cast("double").alias("distance_miles"),
        F.col("dep_time").isNull().alias("cancelled"),
    )


@pipes.pipe(
    "silver.flights_enriched",
    inputs=["silver.flights", "silver.weather", "silver.planes", "silver.airlines", "silver.airports"],
    output="silver.flights_enriched",
    tags=["silver"],
)
def flights_enriched(
    silver_flights: DataFrame,
    silver_weather: DataFrame,
    silver_planes: DataFrame,
    silver_airlines: DataFrame,
    silver_airports: DataFrame,
) -> DataFrame:
    destinations = silver_airports.select(F.col("faa").alias("dest"), F.col("airport").alias("destination"))
    planes = silver_planes.select("tailnum", "built", "manufacturer", "seats")
    return (
        silver_flights.join(silver_weather, ["origin", "time_hour"], "left")
        .join(planes, "tailnum", "left")
        .join(silver_airlines, "carrier", "left")
        .join(destinations, "dest", "left")
    )
