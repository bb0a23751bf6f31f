"""The tables of the job. Raw files are sources; everything else is a Delta table below the root."""

from __future__ import annotations

from kindling_entities import Entities, expect, expect_or_fail, foreign_key

entities = Entities()

# Missing values are written as NA in all five files.
# Csv tells no types: `kindling columns raw.flights` proposes some.
CSV = {"provider": "csv", "null_values": ["NA"]}

entities.source("raw.airlines", path="data/raw/airlines.csv", columns={"carrier": "string", "name": "string"}, **CSV)
entities.source(
    "raw.airports",
    path="data/raw/airports.csv",
    columns={
        "faa": "string",
        "name": "string",
        "lat": "double",
        "lon": "double",
        "alt": "bigint",
        "tz": "bigint",
        "dst": "string",
        "tzone": "string",
    },
    **CSV,
)
entities.source(
    "raw.planes",
    path="data/raw/planes.csv",
    columns={
        "tailnum": "string",
        "year": "bigint",
        "type": "string",
        "manufacturer": "string",
        "model": "string",
        "engines": "bigint",
        "seats": "bigint",
        "speed": "bigint",
        "engine": "string",
    },
    **CSV,
)
entities.source(
    "raw.weather",
    path="data/raw/weather.csv",
    columns={
        "origin": "string",
        "year": "bigint",
        "month": "bigint",
        "day": "bigint",
        "hour": "bigint",
        "temp": "double",
        "dewp": "double",
        "humid": "double",
        "wind_dir": "double",
        "wind_speed": "double",
        "wind_gust": "double",
        "precip": "double",
        "pressure": "double",
        "visib": "double",
        "time_hour": "timestamp",
    },
    **CSV,
)
entities.source(
    "raw.flights",
    path="data/raw/flights.csv",
    columns={
        "year": "bigint",
        "month": "bigint",
        "day": "bigint",
        "dep_time": "bigint",
        "sched_dep_time": "bigint",
        "dep_delay": "bigint",
        "arr_time": "bigint",
        "sched_arr_time": "bigint",
        "arr_delay": "bigint",
        "carrier": "string",
        "flight": "bigint",
        "tailnum": "string",
        "origin": "string",
        "dest": "string",
        "air_time": "bigint",
        "distance": "bigint",
        "hour": "bigint",
        "minute": "bigint",
        "time_hour": "timestamp",
    },
    **CSV,
)

for name in ("airlines", "airports", "planes", "weather", "flights"):
    entities.entity(f"bronze.{name}", description=f"{name} as they came")

entities.entity("silver.airlines", keys=["carrier"], description="carriers by code")
entities.entity("silver.airports", keys=["faa"], description="airports by FAA code")
entities.entity("silver.planes", keys=["tailnum"], description="planes by tail number")
entities.entity("silver.weather", keys=["origin", "time_hour"], description="hourly weather at the three airports")
entities.entity("silver.daily_weather", keys=["day"], description="each day's weather over the three airports")
entities.entity(
    "silver.flights",
    keys=["time_hour", "carrier", "flight", "origin"],
    description="one row a departure, typed, with a date and whether it was cancelled",
    expectations=[
        expect_or_fail("has a day", "day is not null"),
        expect("cancelled or delayed by less than a day", "cancelled or departure_delay < 1440"),
        foreign_key("dest", "silver.airports", "faa", action="warn"),
    ],
)
entities.entity(
    "silver.flights_enriched",
    keys=["time_hour", "carrier", "flight", "origin"],
    description="departures with the weather, plane, airline and destination of each",
)

entities.entity("gold.carrier_delays", keys=["carrier", "month"], description="delays by carrier and month")
entities.entity("gold.route_delays", keys=["origin", "dest"], description="delays by route")
entities.entity("gold.weather_effect", keys=["conditions"], description="delays by the weather at departure")
entities.entity("gold.worst_days", keys=["day"], description="the twenty days with the longest mean departure delay")
