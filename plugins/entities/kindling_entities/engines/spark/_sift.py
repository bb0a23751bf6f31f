"""Counts flags and leaves rows out in the job that writes a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kindling_core.errors import safe_str
from kindling_entities.declare.quoting import quote
from kindling_entities.engines._frames import counted

# Found in the text of the error that Spark raises for a row with such a flag.
_REFUSED = "kindling: a row does not meet an expectation"
_WAIT_SECONDS = 10


class ObservedSift:
    """Implements ``Sifted`` with an observation: Spark reports its aggregates when the job has ended."""

    def __init__(self, frame: Any, flags: Mapping[str, str]) -> None:
        from pyspark.sql import Observation
        from pyspark.sql.functions import expr

        self._source = frame
        self._flags = list(flags)
        self._observation: Any | None = Observation()
        totals = [expr("count(1)").alias("rows"), *(expr(f"count_if({flag})").alias(flag) for flag in flags)]
        observed = frame.observe(self._observation, *totals)
        dropping = [flag for flag, action in flags.items() if action == "drop"]
        failing = [flag for flag, action in flags.items() if action == "fail"]
        if dropping:
            observed = observed.where(f"not ({' or '.join(dropping)})")
        if failing:
            stop = f"cast(raise_error('{_REFUSED}') as boolean)"
            observed = observed.where(f"if({' or '.join(failing)}, {stop}, true)")
        kept = [name for name in frame.columns if name not in flags]
        self.frame = observed.selectExpr(*map(quote, kept))

    def tally(self) -> dict[str, int]:
        """Rows and flags; of a job that was broken off by a pass of its own."""
        found = self._observed()
        return found if found else counted(self._source, self._flags)

    def refused(self, error: BaseException) -> bool:
        """Whether the job ended with this error because of a flag."""
        cause = error.__cause__ or error.__context__
        if _REFUSED not in safe_str(error) and _REFUSED not in safe_str(cause):
            return False
        self._observation = None
        return True

    def _observed(self) -> dict[str, int] | None:
        if self._observation is None:
            return None
        java = getattr(self._observation, "_jo", None)
        if java is not None:
            # Reported by a listener after the job, and never for a job that did not run: wait, but not for ever.
            jvm = self._source.sparkSession._jvm
            # Classes by their whole names: part by part each would be a question to the JVM.
            seconds = getattr(jvm, "scala.concurrent.duration.Duration").apply(_WAIT_SECONDS, "seconds")
            try:
                getattr(jvm, "scala.concurrent.Await").ready(java.future(), seconds)
            except Exception:  # noqa: BLE001 - py4j words a Java TimeoutException as its own error
                return None
        return {name: int(value) for name, value in self._observation.get.items()}
