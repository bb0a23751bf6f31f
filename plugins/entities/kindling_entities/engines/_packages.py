"""Which packages of an engine are installed, as findings of ``kindling doctor``. Imports none of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from kindling_core.doctor import Check

# Both own the module pyspark.
_PYSPARK = ("pyspark", "pyspark-client")


def installed(name: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def packages(names: Iterable[str], pyspark: str, extra: str) -> Iterable[Check]:
    """Look for distributions.

    Args:
        pyspark: which of the distributions that have the module pyspark is missing, where there is none.
        extra: of kindling-entities, installs what is missing.
    """
    for name in names:
        yield _package(name, extra)
    found = [name for name in _PYSPARK if installed(name)]
    if len(found) < len(_PYSPARK):
        yield _package(found[0] if found else pyspark, extra)
        return
    yield Check(
        "error",
        "pyspark",
        "pyspark and pyspark-client are both installed and own the same module",
        "Run: pip uninstall pyspark pyspark-client; then install one of them.",
    )


def _package(name: str, extra: str) -> Check:
    found = installed(name)
    if found:
        return Check("ok", name, found)
    return Check("error", name, "not installed", f"Run: pip install 'kindling-entities[{extra}]'")
