"""The flights job against pandas, which computes every gold table on its own from the same csv files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kindling_core import App, RunReport
from kindling_entities import EntityStore

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
COUNTS = {"flights": 336_776, "airports": 1_458, "airlines": 16, "planes": 3_322, "weather": 26_115}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, RunReport]]:
    root = tmp_path_factory.mktemp("lake")
    with App.from_job(EXAMPLE / "kindling.toml", [f"entities.root={root}"], environ={}) as app:
        from flights.prepare import prepare

        prepare()
        yield app, app.run()


@pytest.fixture(scope="module")
def raw(job: object) -> dict[str, pd.DataFrame]:
    tables = {name: pd.read_csv(EXAMPLE / "data" / "raw" / f"{name}.csv", na_values=["NA"]) for name in COUNTS}
    for name in ("flights", "weather"):
        tables[name]["time_hour"] = pd.to_datetime(tables[name]["time_hour"], utc=True)
    return tables


@pytest.fixture(scope="module")
def enriched(raw: dict[str, pd.DataFrame]) -> pd.DataFrame:
    weather = raw["weather"][["origin", "time_hour", "precip", "visib", "wind_speed"]]
    airports = raw["airports"][["faa", "name"]].rename(columns={"faa": "dest", "name": "destination"})
    airlines = raw["airlines"].rename(columns={"name": "airline"})
    flights = raw["flights"].merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")
    return flights.merge(airlines, on="carrier", how="left").merge(airports, on="dest", how="left")


def figures(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    grouped = frame.assign(cancelled=frame["dep_time"].isna()).groupby(by, dropna=False)
    return grouped.agg(
        flights=("year", "size"),
        cancelled=("cancelled", "sum"),
        mean_departure_delay=("dep_delay", "mean"),
        mean_arrival_delay=("arr_delay", "mean"),
    ).reset_index()


def gold(job: tuple[App, RunReport], name: str) -> pd.DataFrame:
    frame: pd.DataFrame = job[0].service(EntityStore).read_entity(name).toArrow().to_pandas()
    return frame


def assert_same(actual: pd.DataFrame, expected: pd.DataFrame, keys: list[str]) -> None:
    assert len(actual) == len(expected)
    joined = expected.merge(actual, on=keys, how="outer", suffixes=("_expected", ""), indicator=True)
    assert set(joined["_merge"]) == {"both"}
    for column in [name for name in expected.columns if name not in keys]:
        wanted, found = joined[f"{column}_expected"].to_numpy(float), joined[column].to_numpy(float)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, equal_nan=True, err_msg=column)


def test_bronze_has_every_row_of_the_files(job: tuple[App, RunReport]) -> None:
    report = job[1]
    assert {name: report.pipe(f"bronze.{name}").rows for name in COUNTS} == COUNTS


def test_enriching_a_flight_neither_loses_nor_doubles_it(job: tuple[App, RunReport]) -> None:
    assert job[1].pipe("silver.flights_enriched").rows == COUNTS["flights"]


def test_carrier_delays_equal_pandas(job: tuple[App, RunReport], enriched: pd.DataFrame) -> None:
    keys = ["carrier", "airline", "month"]
    assert_same(gold(job, "gold.carrier_delays"), figures(enriched, keys), keys)


def test_route_delays_equal_pandas(job: tuple[App, RunReport], enriched: pd.DataFrame) -> None:
    keys = ["origin", "dest", "destination"]
    distances = enriched.groupby(keys, dropna=False)["distance"].mean().rename("distance_miles").reset_index()
    expected = figures(enriched, keys).merge(distances, on=keys)
    assert_same(gold(job, "gold.route_delays"), expected, keys)


def test_weather_effect_equals_pandas(job: tuple[App, RunReport], enriched: pd.DataFrame) -> None:
    rain = enriched["precip"]
    cases = [rain.isna(), rain >= 0.1, rain > 0, enriched["visib"] < 3, enriched["wind_speed"] >= 25]
    names = ["unknown", "heavy rain", "light rain", "fog", "storm"]
    conditions = np.select([case.to_numpy() for case in cases], names, default="fair")
    expected = figures(enriched.assign(conditions=conditions), ["conditions"])
    assert_same(gold(job, "gold.weather_effect"), expected, ["conditions"])


def test_worst_days_equal_pandas(job: tuple[App, RunReport], raw: dict[str, pd.DataFrame]) -> None:
    flights = raw["flights"].assign(day=pd.to_datetime(raw["flights"][["year", "month", "day"]]).dt.date)
    weather = raw["weather"].assign(day=raw["weather"]["time_hour"].dt.date)
    rain = weather.groupby("day")["precip"].sum().rename("rain_inches").reset_index()
    expected = figures(flights, ["day"]).nlargest(20, "mean_departure_delay").merge(rain, on="day", how="left")
    actual = gold(job, "gold.worst_days")
    assert actual["mean_departure_delay"].is_monotonic_decreasing
    assert_same(actual, expected, ["day"])
