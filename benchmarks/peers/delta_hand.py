"""The job as somebody writes it in a notebook: a loop of reads and writes on one session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delta_job import ROWS, main, session, upstream
from pyspark import __version__


class Loop:
    """Implements ``Job``."""

    def __init__(self, shape: str, writes: str, folder: Path) -> None:
        self._shape, self._folder = shape, folder
        self._mode = "append" if writes == "append" else "overwrite"
        self._spark = session("hand")
        self._spark.range(ROWS).write.format("delta").save(str(folder / "t0"))

    def ready(self, prefix: str, size: int) -> Callable[[], object]:
        def run() -> None:
            for number in range(1, size + 1):
                frame = self._read(upstream(self._shape, number, prefix))
                frame.write.format("delta").mode(self._mode).save(str(self._folder / f"{prefix}t{number}"))

        return run

    def rows(self, table: str) -> int:
        return int(self._read(table).count())

    def _read(self, table: str):  # type: ignore[no-untyped-def]
        return self._spark.read.format("delta").load(str(self._folder / table))


main("PySpark by hand", __version__, "a loop on one warm session", Loop)
