"""Every gold table of the flights job, row by row, on both engines. One process an engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
GOLD = ("carrier_delays", "route_delays", "weather_effect", "worst_days")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    subprocess.run([sys.executable, "-m", "flights.prepare"], cwd=EXAMPLE, check=True)
    made = {}
    for engine in ("embedded", "spark"):
        made[engine] = tmp_path_factory.mktemp(engine)
        command = ["-m", "kindling_core", "run", "--set", f"entities.engine={engine}"]
        command += ["--set", f"entities.root={made[engine]}", "--set", "entities.spark.master=local[2]"]
        done = subprocess.run([sys.executable, *command], cwd=EXAMPLE, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return made


@pytest.mark.parametrize("name", GOLD)
def test_a_gold_table_is_the_same_on_both_engines(roots: dict[str, Path], name: str) -> None:
    tables = []
    for engine in ("embedded", "spark"):
        frame = DeltaTable(str(roots[engine] / "gold" / name)).to_pandas()
        keys = [column for column in frame.columns if not pd.api.types.is_float_dtype(frame[column])]
        tables.append(frame.sort_values(keys).reset_index(drop=True))
    # Sums of doubles depend on the order of addition.
    pd.testing.assert_frame_equal(*tables, check_exact=False, rtol=1e-9)
