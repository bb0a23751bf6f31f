"""The flights job against the same work by hand, each in fresh processes, alternating.

By hand: csv with pyarrow to Delta, the job's own functions on a Sail session, delta-rs commits, one after the other.

    python benchmarks/bench_flights.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"

BY_HAND = """
import sys
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake
from pyarrow import csv
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

from flights import gold, silver

root = Path(sys.argv[1])
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
spark = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").create()
spark.conf.set("spark.sql.session.timeZone", "UTC")
convert = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
for name in ("airlines", "airports", "planes", "weather", "flights"):
    write_deltalake(str(root / "bronze" / name), csv.read_csv(f"data/raw/{name}.csv", convert_options=convert))
for pipe in (*silver.pipes, *gold.pipes):
    inputs = {
        parameter: spark.read.format("delta").load(str(root / entity.replace(".", "/")))
        for parameter, entity in pipe.parameters.items()
    }
    write_deltalake(str(root / pipe.output_entity_id.replace(".", "/")), pipe.execute(**inputs).toArrow())
"""
BY_KINDLING = "import sys; from kindling_core.cli import main; main(['run', '--set', f'entities.root={sys.argv[1]}'])"


def seconds(script: str) -> float:
    with tempfile.TemporaryDirectory() as root:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", script, root], cwd=EXAMPLE, check=True, capture_output=True)
        return time.perf_counter() - started


def main(rounds: int) -> None:
    subprocess.run([sys.executable, "-m", "flights.prepare"], cwd=EXAMPLE, check=True, capture_output=True)
    pairs = [(seconds(BY_HAND), seconds(BY_KINDLING)) for _ in range(rounds + 1)][1:]
    hand, kindling = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(f"flights job, whole process: by hand {hand:.2f} s, Kindling {kindling:.2f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
