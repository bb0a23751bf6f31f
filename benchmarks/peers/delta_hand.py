"""The job as somebody writes it in a notebook: a loop of reads and writes on one session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delta_job import main, session, upstream
from pyspark import __version__


def prepare(shape: str, size: int, folder: Path) -> Callable[[], None]:
    spark = session("hand")
    spark.range(100).write.format("delta").save(str(folder / "t0"))

    def run() -> None:
        for number in range(1, size + 1):
            frame = spark.read.format("delta").load(str(folder / upstream(shape, number)))
            frame.write.format("delta").mode("overwrite").save(str(folder / f"t{number}"))

    return run


main("PySpark by hand", __version__, "a loop on one warm session", prepare)
