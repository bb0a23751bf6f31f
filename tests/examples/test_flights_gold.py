"""The flights job against pandas, which computes every gold table on its own from the same csv files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kindling_core import App, RunReport
from kindling_entities import DataEntityManager, EntityStore

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
        tables[name]["day"] = pd.to_datetime(tables[name][["year", "month", "day"]]).dt.date
    weather = tables["weather"]
    weather.loc[weather["wind_speed"] > 1000, "wind_speed"] = np.nan
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


def table(job: tuple[App, RunReport], name: str) -> pd.DataFrame:
    frame: pd.DataFrame = job[0].service(EntityStore).read_entity(name).toArrow().to_pandas()
    return frame


def assert_same(actual: pd.DataFrame, expected: pd.DataFrame, keys: list[str]) -> None:
    assert set(actual.columns) == set(expected.columns)
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


def test_every_declared_key_identifies_one_row(job: tuple[App, RunReport]) -> None:
    manager = job[0].service(DataEntityManager)
    keys = {name: list(manager.get_entity_definition(name).keys) for name in manager.get_entity_ids()}
    keyed = {name: columns for name, columns in keys.items() if columns}
    assert {name for name in keys if name.startswith(("silver.", "gold."))} == set(keyed)
    for name, columns in keyed.items():
        rows = table(job, name)[columns]
        assert not rows.isna().any(axis=None), name
        assert not rows.duplicated().any(), name


def test_a_wind_that_cannot_be_counts_as_missing(job: tuple[App, RunReport], raw: dict[str, pd.DataFrame]) -> None:
    wind = table(job, "silver.weather")["wind_mph"]
    assert (wind.isna().sum(), wind.max()) == (5, pytest.approx(raw["weather"]["wind_speed"].max(), rel=1e-9))


def test_the_job_has_a_diamond_from_the_weather_to_the_worst_days(job: tuple[App, RunReport]) -> None:
    inputs = {pipe.pipe_id: set(pipe.input_entity_ids) for pipe in job[1].pipes}
    assert inputs["gold.worst_days"] == {"silver.flights_enriched", "silver.daily_weather"}
    assert all("silver.weather" in inputs[side] for side in inputs["gold.worst_days"])


def test_carrier_delays_equal_pandas(job: tuple[App, RunReport], enriched: pd.DataFrame) -> None:
    keys = ["carrier", "airline", "month"]
    assert_same(table(job, "gold.carrier_delays"), figures(enriched, keys), keys)


def test_route_delays_equal_pandas(job: tuple[App, RunReport], enriched: pd.DataFrame) -> None:
    keys = ["origin", "dest", "destination"]
    distances = enriched.groupby(keys, dropna=False)["distance"].mean().rename("distance_miles").reset_index()
    expected = figures(enriched, keys).merge(distances, on=keys)
    assert_same(table(job, "gold.route_delays"), expected, keys)


def test_weather_effect_equals_pandas(job: tuple[App, RunReport], enriched: pd.DataFrame) -> None:
    rain = enriched["precip"]
    cases = [rain.isna(), rain >= 0.1, rain > 0, enriched["visib"] < 3, enriched["wind_speed"] >= 25]
    names = ["unknown", "heavy rain", "light rain", "fog", "strong wind"]
    conditions = np.select([case.to_numpy() for case in cases], names, default="fair")
    expected = figures(enriched.assign(conditions=conditions), ["conditions"])
    assert_same(table(job, "gold.weather_effect"), expected, ["conditions"])


def test_worst_days_equal_pandas(
    job: tuple[App, RunReport], raw: dict[str, pd.DataFrame], enriched: pd.DataFrame
) -> None:
    weather = raw["weather"]
    # A table of days by airports instead of two groupings: computed in another way than the job does.
    rain = weather.pivot_table(index="day", columns="origin", values="precip", aggfunc="sum").mean(axis=1)
    daily = pd.DataFrame(
        {
            "rain_inches": rain,
            "strongest_wind_mph": weather.groupby("day")["wind_speed"].max(),
            "worst_visibility_miles": weather.groupby("day")["visib"].min(),
        }
    )
    in_rain = (enriched["precip"] > 0).groupby(enriched["day"]).sum().rename("flights_in_rain")
    worst = figures(enriched, ["day"]).nlargest(20, "mean_departure_delay")
    expected = worst.merge(in_rain, on="day").merge(daily, on="day", how="left")
    actual = table(job, "gold.worst_days")
    assert actual["mean_departure_delay"].is_monotonic_decreasing
    assert_same(actual, expected, ["day"])


def test_rain_falls_on_the_day_it_fell_in_new_york(job: tuple[App, RunReport]) -> None:
    # It rained 0.59 inches in the evening of June 27, which in UTC is June 28: a dry day in New York.
    days = table(job, "gold.worst_days").astype({"day": str}).set_index("day")["rain_inches"]
    assert days["2013-06-28"] == 0
    assert days["2013-06-27"] == pytest.approx(0.59 / 3, rel=1e-9)
