"""Every type with its edges through all that is done to tables, by each engine and then by the other.

Plain rows are the model, and the comparison is exact. The run on Spark starts the embedded engine in a process of its
own; the run on the embedded engine starts no JVM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matrix_lives
import pytest
from conftest import KIND
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from matrix_sides import Here, Side, There
from matrix_values import KINDS, SCALARS, column, drawn, plain

PAIRS = ["here+here"] if KIND == "embedded" else ["here+here", "here+there", "there+here"]
Lives = Callable[[str, str], matrix_lives.Findings]


def _kept_as_partition(value: Any) -> bool:
    """What is not refused; the refusals have tests of their own."""
    if isinstance(value, str):
        # Of Spark's, the embedded engine replaces none beyond ASCII.
        if KIND != "embedded" and not value.isascii():
            return False
        return value != "" and "\0" not in value and len(quote(value)) < 200
    return not (isinstance(value, Decimal) and value < 0 and value != value.to_integral_value())


# 0.0 and -0.0 are two values to storage, but equal to whatever compares: keys, changes of a history, repeated rows.
UNEQUAL = {kind: [edge for edge in edges if plain(edge) != plain(-0.0)] for kind, edges in KINDS.items()}
KEYS = {kind: UNEQUAL[kind] for kind in SCALARS}
# Bytes are no partitions, and on the embedded engine those of floating-point numbers cannot be overwritten one by one.
PARTITIONS = {
    kind: list(filter(_kept_as_partition, edges))
    for kind, edges in SCALARS.items()
    if kind not in ("binary", "float", "double")
}
# Csv holds nothing nested.
LIVES: dict[str, tuple[Callable[..., matrix_lives.Findings], Mapping[str, Sequence[Any]]]] = {
    "life": (matrix_lives.life, KINDS),
    "history": (matrix_lives.history, UNEQUAL),
    "quarantine": (matrix_lives.quarantine, UNEQUAL),
    "keys": (matrix_lives.keys, KEYS),
    # A history by twenty keys is more than a small JVM plans.
    "historic_keys": (matrix_lives.historic_keys, dict(list(KEYS.items())[::3])),
    "partitions": (matrix_lives.partitions, PARTITIONS),
    "parquet": (lambda *sides: matrix_lives.files(*sides, "parquet"), KINDS),
    "json": (lambda *sides: matrix_lives.files(*sides, "json"), KINDS),
    "csv": (lambda *sides: matrix_lives.files(*sides, "csv"), SCALARS),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="module")
def sides(engine: Any, lake: Path) -> Iterator[Callable[[str, str], tuple[Side, Side]]]:
    """Gives the two sides of a pair, with tables of their own for each name."""
    there = There(lake) if len(PAIRS) > 1 else None

    def made(pair: str, name: str) -> tuple[Side, Side]:
        root = lake / f"{name}-{pair}"
        root.mkdir()
        here = Here(engine, root)
        of: dict[str, Side] = {"here": here}
        if there is not None:
            of["there"] = there.at(root)
        first, second = pair.split("+")
        return of[first], of[second]

    yield made
    if there is not None:
        there.close()


@pytest.fixture(scope="module")
def lives(sides: Callable[[str, str], tuple[Side, Side]]) -> Lives:
    """What a life finds, by column; each is lived once for all types, which is why it is quick."""
    known: dict[tuple[str, str], matrix_lives.Findings | str] = {}

    def findings(life: str, pair: str) -> matrix_lives.Findings:
        if (life, pair) not in known:
            run, values = LIVES[life]
            try:
                known[life, pair] = run(*sides(pair, life), values)
            except Exception as error:
                known[life, pair] = repr(error)
                raise
        found = known[life, pair]
        assert not isinstance(found, str), f"no type came through: {found}"
        return found

    return findings


def _case(life: str, kind: str, pair: str) -> Any:
    # On Spark, both engines write and rewrite in the other pairs.
    slow = KIND != "embedded" and pair == "here+here"
    return pytest.param(life, kind, pair, id=f"{life}-{kind}-{pair}", marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(
    ("life", "kind", "pair"),
    [_case(life, kind, pair) for life, (_, values) in LIVES.items() for pair in PAIRS for kind in [*values, "rows"]],
)
def test_values_stay_what_they_are(lives: Lives, life: str, kind: str, pair: str) -> None:
    found = lives(life, pair)
    columns = {column(name) for name in LIVES[life][1]}
    names = found.keys() - columns if kind == "rows" else {column(kind)}
    assert [text for name in names for text in found.get(name, [])] == []


def _draws(count: int) -> Any:
    quick = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    quick += [HealthCheck.large_base_example]
    # Not made smaller: a finding names its columns and values, and lives are too long to be lived a thousand times.
    phases = (Phase.explicit, Phase.generate)
    return settings(
        deadline=None,
        derandomize=True,
        max_examples=count,
        suppress_health_check=quick,
        database=None,
        phases=phases,
    )


VALUES = st.fixed_dictionaries({kind: st.lists(drawn(kind), min_size=1, max_size=4) for kind in KINDS})


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(10**6))


@_draws(4 if KIND == "embedded" else 1)
@given(values=VALUES)
def test_drawn_values_stay_what_they_are(
    sides: Callable[[str, str], tuple[Side, Side]], numbers: Iterator[int], values: dict[str, list[Any]]
) -> None:
    for pair in PAIRS:
        assert matrix_lives.life(*sides(pair, f"drawn{next(numbers)}"), values) == {}


@pytest.mark.slow
@_draws(200 if KIND == "embedded" else 20)
@given(values=VALUES)
def test_more_drawn_values_stay_what_they_are(
    sides: Callable[[str, str], tuple[Side, Side]], numbers: Iterator[int], values: dict[str, list[Any]]
) -> None:
    for pair in PAIRS:
        assert matrix_lives.life(*sides(pair, f"more{next(numbers)}"), values) == {}
