"""Types, names and keys; then each departure with all that is known of it."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from kindling_core import Pipes

pipes = Pipes()

POSSIBLE_WIND_MPH = 200


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
    wind = F.col("wind_speed").cast("double")
    return bronze_weather.select(
        "origin",
        F.col("time_hour").cast("timestamp").alias("time_hour"),
        # The day in New York, as in flights: time_hour is UTC, where evenings belong to the next day.
        F.make_date("year", "month", "day").alias("day"),
        F.col("temp").cast("double").alias("temperature_fahrenheit"),
        # One hour in February claims 1,048 mph. A reading that cannot be is a missing one.
        F.when(wind < POSSIBLE_WIND_MPH, wind).alias("wind_mph"),
        F.col("precip").cast("double").alias("rain_inches"),
        F.col("visib").cast("double").alias("visibility_miles"),
    )


@pipes.pipe("silver.daily_weather", inputs=["silver.weather"], output="silver.daily_weather", tags=["silver"])
def daily_weather(silver_weather: DataFrame) -> DataFrame:
    at_each_airport = silver_weather.groupBy("day", "origin").agg(
        F.sum("rain_inches").alias("rain_inches"),
        F.max("wind_mph").alias("wind_mph"),
        F.min("visibility_miles").alias("visibility_miles"),
    )
    # The gauges of three airports see the same rain: their mean, not their sum, is what fell on the city.
    return at_each_airport.groupBy("day").agg(
        F.avg("rain_inches").alias("rain_inches"),
        F.max("wind_mph").alias("strongest_wind_mph"),
        F.min("visibility_miles").alias("worst_visibility_miles"),
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
        silver_flights.join(silver_weather.drop("day"), ["origin", "time_hour"], "left")
        .join(planes, "tailnum", "left")
        .join(silver_airlines, "carrier", "left")
        .join(destinations, "dest", "left")
    )
