"""Two processes that run one incremental pipe at the same time, without leases: each change once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

PATIENCE_SECONDS = 300
ROUNDS = 50
WORKER = """
import sys

import pyarrow as pa

from kindling_core import App, KindlingError, Pipes
from kindling_entities import Entities, EntityStore
from kindling_watermark.plugin import WatermarkPlugin

folder, url, offset = sys.argv[1], sys.argv[2], int(sys.argv[3])
entities, pipes = Entities(), Pipes()
feed = {"delta.enableChangeDataFeed": "true"}
entities.entity("bronze.log", write_mode="append")
entities.entity("silver.log", write_mode="append")
pipes.pipe("silver.log", inputs=["bronze.log"], output="silver.log", incremental={"bronze.log": "appends"})(
    lambda bronze_log: bronze_log
)
app = App(
    ["entities", "state"],
    {"state": {"lease": "none", **({"url": url} if url else {})}},
    name="two",
    base_dir=folder,
    environ={},
    plugins=[WatermarkPlugin()],
)
app.mount(entities, pipes)
with app:
    store = app.service(EntityStore)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(ROUNDS):
        store.append_to_entity("bronze.log", pa.table({"id": [offset + number]}))
        try:
            app.run()
        except KindlingError as error:
            # One that was overtaken says so, and writes nothing.
            print("failed", str(error)[:300].replace(chr(10), " "), flush=True)
""".replace("ROUNDS", str(ROUNDS))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_each_change_is_written_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgresql") + "/postgres" if kind == "postgresql" else ""
    (tmp_path / "worker.py").write_text(WORKER)
    both = [
        subprocess.Popen(
            [sys.executable, "worker.py", str(tmp_path), url, str(offset)],
            cwd=tmp_path,
            env=dict(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for offset in (0, 1000)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = []
    for process in both:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, err
        told.append(out)
    last = subprocess.run(
        [sys.executable, "-c", WORKER.replace(f"range({ROUNDS})", "range(1)"), str(tmp_path), url, "5000"],
        input="go\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert "failed" not in last.stdout
    found = DeltaTable(str(tmp_path / "lake" / "silver" / "log")).to_pyarrow_table()["id"].to_pylist()
    assert sorted(found) == [*range(ROUNDS), *range(1000, 1000 + ROUNDS), 5000], told
