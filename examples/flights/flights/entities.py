"""The tables of the job. Raw files are sources; everything else is a Delta table below the root."""

from __future__ import annotations

from kindling_entities import Entities, expect, expect_or_fail, foreign_key

entities = Entities()

# Missing values are written as NA in all five files.
CSV = {"provider": "csv", "null_values": ["NA"]}

entities.source("raw.airlines", path="data/raw/airlines.csv", **CSV)
entities.source("raw.airports", path="data/raw/airports.csv", **CSV)
entities.source("raw.planes", path="data/raw/planes.csv", **CSV)
entities.source("raw.weather", path="data/raw/weather.csv", **CSV)
entities.source("raw.flights", path="data/raw/flights.csv", **CSV)

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
