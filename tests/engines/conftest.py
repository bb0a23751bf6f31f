"""The engine that the contract suite runs on. pyspark allows one kind of session a process, so one kind a run."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kindling_entities.protocols import Table

# embedded, spark (classic, local), connect (Spark Connect, local), or cluster (classic, a standalone master with two
# workers); `make test` and `make test-slow` run pytest once for each.
KIND = os.environ.get("KINDLING_TEST_ENGINE", "embedded")
CONF = {"spark.sql.shuffle.partitions": "2", "spark.driver.memory": "1g"}


# A case costs seconds on Spark and hundredths on the embedded engine, which runs all of them.
CASES_ON_SPARK = 2
# Its cases only look at what a few long ones have found.
CHEAP = ("test_matrix.py",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On Spark, mark all but a few cases of a test as slow: the first and the last that are not slow anyhow."""
    if KIND == "embedded":
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        here = item.path.parent == Path(__file__).parent and item.path.name not in CHEAP
        if here and item.get_closest_marker("slow") is None:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for found in cases.values():
        for item in found[CASES_ON_SPARK - 1 : -1]:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        if KIND == "embedded":
            from kindling_entities.engines.embedded import EmbeddedEngine

            made: Any = EmbeddedEngine(sleep=lambda seconds: None)
        else:
            from kindling_entities.engines.spark import SparkEngine

            conf = CONF | {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse"))}
            where = {"remote": "local[2]"} if KIND == "connect" else {"master": "local[2]"}
            if KIND == "cluster":
                where = {"master": stack.enter_context(cluster(tmp_path_factory.mktemp("cluster")))}
                conf |= {"spark.executor.memory": "768m", "spark.executor.cores": "1", "spark.driver.host": "127.0.0.1"}
            made = SparkEngine(conf=conf, sleep=lambda seconds: None, **where)
        made.start()
        made.activate()
        yield made
        if KIND == "cluster":
            made.session.stop()
        made.stop()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A standalone master and two workers of one core each, all processes of their own; gives the master's URL."""
    import pyspark

    home = Path(pyspark.__file__).parent
    environ = os.environ | {"SPARK_HOME": str(home), "SPARK_NO_DAEMONIZE": "1", "SPARK_DAEMON_MEMORY": "256m"}
    command = [str(home / "bin" / "spark-class"), "org.apache.spark.deploy"]

    def start(kind: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [command[0], f"{command[1]}.{kind}", "--host", "127.0.0.1", "--webui-port", "0", *arguments],
            env=environ,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"Starting Spark master at (\S+)|Successfully registered with master", line):
                return process, found[1] or ""
        raise AssertionError(f"{kind} did not start:\n{''.join(said)}")

    processes = []
    try:
        master, url = start("master.Master", "--port", "0")
        processes.append(master)
        for name in ("first", "second"):
            processes.append(start("worker.Worker", "--cores", "1", "--memory", "1g", "-d", str(folder / name), url)[0])
        # Nobody reads what they say from here on, and a full pipe would stop them.
        for process in processes:
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield url
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table("test.t", str(tmp_path / "t"))
