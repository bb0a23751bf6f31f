"""The flights job against the same work by hand, each in fresh processes, alternating.

By hand: no line of Kindling or of the example. csv with pyarrow to Delta, joins and aggregates on a Sail session,
delta-rs commits, one table after the other. Both must give the same gold tables.

    python benchmarks/bench_flights.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "flights"
RAW = EXAMPLE / "data" / "raw"
GOLD = {
    "carrier_delays": ["carrier", "month"],
    "route_delays": ["origin", "dest"],
    "weather_effect": ["conditions"],
    "worst_days": ["day"],
}


def by_hand(root: Path) -> None:
    import pyarrow.csv as pa_csv
    from deltalake import write_deltalake
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    spark = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").create()
    spark.conf.set("spark.sql.session.timeZone", "UTC")

    def read(name: str) -> Any:
        return spark.read.format("delta").load(str(root / name))

    def write(name: str, frame: Any) -> None:
        write_deltalake(str(root / name), frame.toArrow())

    convert = pa_csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    for name in ("flights", "airlines", "airports", "planes", "weather"):
        write_deltalake(str(root / "bronze" / name), pa_csv.read_csv(RAW / f"{name}.csv", convert_options=convert))
    refine(read, write)
    # In this order: a client whose server is gone retries for a minute when the process ends.
    spark.stop()
    server.stop()


def refine(read: Callable[[str], Any], write: Callable[[str, Any], None]) -> None:
    """From bronze to gold, one table after the other."""
    from pyspark.sql import functions as F

    write("silver/airlines", read("bronze/airlines").selectExpr("carrier", "name AS airline"))
    write(
        "silver/airports",
        read("bronze/airports").selectExpr(
            "faa",
            "name AS airport",
            "double(lat) AS latitude",
            "double(lon) AS longitude",
            "int(alt) AS altitude_feet",
            "tzone AS time_zone",
        ),
    )
    write(
        "silver/planes",
        read("bronze/planes").selectExpr(
            "tailnum", "int(year) AS built", "manufacturer", "model", "int(seats) AS seats"
        ),
    )
    write(
        "silver/weather",
        read("bronze/weather").selectExpr(
            "origin",
            "time_hour",
            "make_date(year, month, day) AS day",
            "double(temp) AS temperature_fahrenheit",
            "CASE WHEN wind_speed < 200 THEN double(wind_speed) END AS wind_mph",
            "double(precip) AS rain_inches",
            "double(visib) AS visibility_miles",
        ),
    )
    gauges = (
        read("silver/weather")
        .groupBy("day", "origin")
        .agg(
            F.sum("rain_inches").alias("rain"),
            F.max("wind_mph").alias("wind"),
            F.min("visibility_miles").alias("visibility"),
        )
    )
    write(
        "silver/daily_weather",
        gauges.groupBy("day").agg(
            F.avg("rain").alias("rain_inches"),
            F.max("wind").alias("strongest_wind_mph"),
            F.min("visibility").alias("worst_visibility_miles"),
        ),
    )
    write(
        "silver/flights",
        read("bronze/flights").selectExpr(
            "time_hour",
            "make_date(year, month, day) AS day",
            "int(month) AS month",
            "carrier",
            "int(flight) AS flight",
            "tailnum",
            "origin",
            "dest",
            "double(dep_delay) AS departure_delay",
            "double(arr_delay) AS arrival_delay",
            "double(distance) AS distance_miles",
            "dep_time IS NULL AS cancelled",
        ),
    )
    write(
        "silver/flights_enriched",
        read("silver/flights")
        .join(read("silver/weather").drop("day"), ["origin", "time_hour"], "left")
        .join(read("silver/planes").select("tailnum", "built", "manufacturer", "seats"), "tailnum", "left")
        .join(read("silver/airlines"), "carrier", "left")
        .join(read("silver/airports").selectExpr("faa AS dest", "airport AS destination"), "dest", "left"),
    )

    flights = read("silver/flights_enriched")
    figures = [
        F.expr("count(*)").alias("flights"),
        F.expr("sum(int(cancelled))").alias("cancelled"),
        F.avg("departure_delay").alias("mean_departure_delay"),
        F.avg("arrival_delay").alias("mean_arrival_delay"),
    ]
    carriers = flights.groupBy("carrier", "airline", "month").agg(*figures)
    write("gold/carrier_delays", carriers.orderBy("carrier", "month"))
    routes = flights.groupBy("origin", "dest", "destination").agg(
        *figures, F.avg("distance_miles").alias("distance_miles")
    )
    write("gold/route_delays", routes.orderBy("origin", "dest"))
    conditions = F.expr(
        "CASE WHEN rain_inches IS NULL THEN 'unknown' WHEN rain_inches >= 0.1 THEN 'heavy rain'"
        " WHEN rain_inches > 0 THEN 'light rain' WHEN visibility_miles < 3 THEN 'fog'"
        " WHEN wind_mph >= 25 THEN 'strong wind' ELSE 'fair' END"
    )
    effects = flights.withColumn("conditions", conditions).groupBy("conditions").agg(*figures)
    write("gold/weather_effect", effects.orderBy("conditions"))
    in_rain = F.expr("count(CASE WHEN rain_inches > 0 THEN 1 END)").alias("flights_in_rain")
    days = flights.groupBy("day").agg(*figures, in_rain).join(read("silver/daily_weather"), "day", "left")
    write("gold/worst_days", days.orderBy(F.desc("mean_departure_delay"), "day").limit(20))


def seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=EXAMPLE, check=True, capture_output=True, timeout=120)
    return time.perf_counter() - started


def one_round(hand_first: bool) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        hand, kindling = Path(folder, "hand"), Path(folder, "kindling")
        commands = {
            "hand": [str(Path(__file__).resolve()), "--by-hand", str(hand)],
            "kindling": ["-m", "kindling_core", "run", "--set", f"entities.root={kindling}"],
        }
        order = ["hand", "kindling"] if hand_first else ["kindling", "hand"]
        took = {name: seconds(commands[name]) for name in order}
        check_same(hand, kindling)
        return took["hand"], took["kindling"]


def check_same(hand: Path, kindling: Path) -> None:
    """Refuse a comparison of two things that are not the same work."""
    from deltalake import DeltaTable
    from pandas.testing import assert_frame_equal

    for name, keys in GOLD.items():
        ours, theirs = (
            DeltaTable(root / "gold" / name).to_pandas().sort_values(keys, ignore_index=True)
            for root in (kindling, hand)
        )
        # Sums of floats come in the order in which the workers end.
        assert_frame_equal(ours[sorted(ours)], theirs[sorted(theirs)], rtol=1e-9, obj=f"gold.{name}")


def main(rounds: int) -> None:
    subprocess.run([sys.executable, "-m", "flights.prepare"], cwd=EXAMPLE, check=True, capture_output=True)
    one_round(True)  # what only the first processes wait for: files not yet in memory
    pairs = [one_round(hand_first=number % 2 == 0) for number in range(rounds)]
    hand, kindling = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(f"flights job, whole process: by hand {hand:.2f} s, Kindling {kindling:.2f} s, ratio {ratio:.2f}")
    print(f"each round: {', '.join(f'{pair[1] / pair[0]:.2f}' for pair in pairs)}; same gold tables in all")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--by-hand"]:
        by_hand(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
