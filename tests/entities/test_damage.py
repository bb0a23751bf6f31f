"""A damaged table is told by the run, by `kindling entities` and by `kindling doctor`, and never passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kindling_core.cli.main import run_command_line
from kindling_entities import CorruptTableError
from kindling_entities.engines.embedded import EmbeddedEngine
from kindling_entities.protocols import Table

JOB = """
import pyarrow as pa
from kindling_core import Pipes
from kindling_entities import Entities

entities, pipes = Entities(), Pipes()
entities.entity("test.t", write_mode="append")
entities.entity("test.copy")


@pipes.pipe("test.copy", inputs=["test.t"], output="test.copy")
def copy(test_t):
    return test_t
"""


def log(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020d}.json"


def empty(folder: Path) -> None:
    log(folder, 1).write_text("")


def empty_newest(folder: Path) -> None:
    log(folder, 2).write_text("\n")


def cut(folder: Path) -> None:
    text = log(folder, 2).read_text()
    log(folder, 2).write_text(text[: len(text) // 2])


def zeros(folder: Path) -> None:
    log(folder, 2).write_bytes(b"\0" * 500)


def hole(folder: Path) -> None:
    log(folder, 1).unlink()


def no_first(folder: Path) -> None:
    log(folder, 0).unlink()


def only_a_trace(folder: Path) -> None:
    for version in range(3):
        log(folder, version).unlink()
    (folder / "_delta_log" / "_last_checkpoint").write_text('{"version":2,"size":3}')


def no_data(folder: Path) -> None:
    for path in folder.glob("*.parquet"):
        path.unlink()


def cut_data(folder: Path) -> None:
    path = min(folder.glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])


IN_LOG = [empty, empty_newest, cut, zeros, hole, no_first, only_a_trace]


@pytest.fixture
def folder(tmp_path: Path, engine: EmbeddedEngine) -> Path:
    module = f"job_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(JOB)
    (tmp_path / "kindling.toml").write_text(
        f'[job]\nname = "t"\nfeatures = ["entities"]\nmodules = ["{module}"]\n[entities]\nroot = "tables"\n'
    )
    table = Table("test.t", str(tmp_path / "tables" / "test" / "t"))
    for number in range(3):
        engine.append(table, pa.table({"n": [number]}))
    return tmp_path / "tables" / "test" / "t"


@pytest.fixture(scope="module")
def engine() -> Any:
    made = EmbeddedEngine()
    yield made
    made.stop()


@pytest.fixture
def kindling(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*command: str) -> tuple[int, str]:
        capsys.readouterr()
        status = run_command_line([*command, "--job", str(folder.parents[2] / "kindling.toml")])
        told = capsys.readouterr()
        return status, told.out if "--json" in command else told.out + told.err

    return run


@pytest.mark.parametrize("harm", [*IN_LOG, no_data, cut_data])
def test_doctor_and_entities_tell_of_damage(folder: Path, harm: Callable[[Path], None], kindling: Any) -> None:
    _, sound = kindling("doctor", "--json")
    assert not [one for one in json.loads(sound) if one["subject"] == "test.t"]
    harm(folder)
    status, told = kindling("doctor", "--json")
    assert status == 1
    assert [one["status"] for one in json.loads(told) if one["subject"] == "test.t"] == ["error"]
    status, listed = kindling("entities", "--json")
    assert status == 0
    (row,) = [one for one in json.loads(listed) if one["entity_id"] == "test.t"]
    assert row["damage"]


@pytest.mark.parametrize("harm", IN_LOG)
def test_no_read_and_no_write_passes_damage_of_the_log_over(
    folder: Path, engine: EmbeddedEngine, harm: Callable[[Path], None]
) -> None:
    harm(folder)
    before = sorted(path.name for path in (folder / "_delta_log").iterdir())
    table, data = Table("test.t", str(folder)), pa.table({"n": [9]})
    for do in (
        lambda: engine.read(table).count(),
        lambda: engine.append(table, data),
        lambda: engine.overwrite(table, data),
        lambda: engine.merge(table, data, ["n"]),
        lambda: engine.describe(table),
    ):
        if harm is only_a_trace and do.__code__.co_names[0] == "read":
            continue
        with pytest.raises(CorruptTableError, match="test.t"):
            do()
    assert sorted(path.name for path in (folder / "_delta_log").iterdir()) == before


@pytest.mark.parametrize("harm", [empty, cut, hole, no_data, cut_data])
def test_a_run_over_a_damaged_table_fails_and_says_why(
    folder: Path, harm: Callable[[Path], None], kindling: Any
) -> None:
    harm(folder)
    status, told = kindling("run")
    assert status == 1
    assert "test/t/" in told.replace("\n", "")
    assert not (folder.parent / "copy" / "_delta_log").exists()


def test_an_older_version_before_an_empty_commit_can_be_read(folder: Path, engine: EmbeddedEngine) -> None:
    empty_newest(folder)
    assert engine.read(Table("test.t", str(folder)), version=1).count() == 2
