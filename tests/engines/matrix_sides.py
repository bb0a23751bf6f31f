"""What the matrix does to tables, in this process or, by the embedded engine, in another one.

A process has one engine. ``Here`` works with the engine of this process. ``There`` starts this file as a program
that has the embedded engine, and sends it one operation a line; rows travel in Arrow files, which lose nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from kindling_entities import DataEntityManager, EntityStore
from kindling_entities.declare.expectations import expect_or_quarantine


class Side(Protocol):
    """An engine that works on the tables of a folder."""

    name: str

    def do(self, operation: str, entity_id: str, data: pa.Table | None = None, **options: Any) -> pa.Table | None:
        """Do one of the operations of ``perform``."""


def perform(
    engine: Any, root: Path, operation: str, entity_id: str, data: pa.Table | None, options: dict[str, Any]
) -> pa.Table | None:
    """Read or write an entity.

    Args:
        operation: "overwrite", "append", "merge", "rewrite", "maintain", "read" or "changes".
        options: ``declared`` (the fields of the entity); ``frame`` (write a Spark frame in place of Arrow data);
            ``version``; ``start_version``; ``of`` (the entity that a rewrite reads).
    """
    declared = dict(options.get("declared", {}))
    if condition := declared.pop("quarantine_unless", None):
        declared["expectations"] = [expect_or_quarantine("sound", condition)]
    store = EntityStore(DataEntityManager(), engine, str(root), root)
    store.manager.register_entity(entity_id, **declared)
    if operation == "read":
        frame = store.read_entity(entity_id, version=options.get("version"))
    elif operation == "changes":
        frame = store.read_entity(entity_id, start_version=options["start_version"])
    elif operation == "maintain":
        store.tables.maintain(entity_id, dry_run=False)
        return None
    elif operation == "rewrite":
        if options["of"] != entity_id:
            store.manager.register_entity(options["of"])
        store.write(entity_id, store.read_entity(options["of"]), "overwrite")
        return None
    else:
        store.write(entity_id, engine.to_frame(data) if options.get("frame") else data, operation)
        return None
    return engine.to_reader(frame).read_all()


class Here:
    """The engine of this process."""

    def __init__(self, engine: Any, root: Path) -> None:
        self.name = engine.name
        self._engine, self._root = engine, root

    def do(self, operation: str, entity_id: str, data: pa.Table | None = None, **options: Any) -> pa.Table | None:
        return perform(self._engine, self._root, operation, entity_id, data, options)


class OtherFailed(AssertionError):
    """The other process could not do what it was asked."""


class There:
    """The embedded engine, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # What pyspark sets for classic Spark would reach into the other's Connect session.
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def at(self, root: Path) -> Side:
        """This process as the one that works on the tables of a folder."""
        return _At(self, root)

    def ask(
        self, root: Path, operation: str, entity_id: str, data: pa.Table | None, options: dict[str, Any]
    ) -> pa.Table | None:
        """Have an operation done."""
        path = str(self._folder / f"{uuid.uuid4()}.arrow")
        if data is not None:
            _dump(data, path)
        asked = {"root": str(root), "operation": operation, "entity_id": entity_id, "path": path}
        asked |= {"data": data is not None, "options": options}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer["error"]:
            raise OtherFailed(f"embedded, {operation} {entity_id}: {answer['error']}")
        return _load(path) if answer["rows"] else None

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


class _At:
    name = "embedded"

    def __init__(self, there: There, root: Path) -> None:
        self._there, self._root = there, root

    def do(self, operation: str, entity_id: str, data: pa.Table | None = None, **options: Any) -> pa.Table | None:
        return self._there.ask(self._root, operation, entity_id, data, options)


def _dump(data: pa.Table, path: str) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, data.schema) as out:
        out.write_table(data)


def _load(path: str) -> pa.Table:
    with pa.OSFile(path, "rb") as file:
        return pa.ipc.open_file(file).read_all()


def _serve() -> None:
    from kindling_entities.engines.embedded import EmbeddedEngine

    # Whatever prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine = EmbeddedEngine()
    engine.start()
    engine.activate()
    try:
        for line in sys.stdin:
            asked = json.loads(line)
            path, given = asked["path"], _load(asked["path"]) if asked["data"] else None
            error = rows = None
            try:
                rows = perform(
                    engine, Path(asked["root"]), asked["operation"], asked["entity_id"], given, asked["options"]
                )
            except Exception as failed:  # noqa: BLE001 - told to the process that asked
                error = f"{type(failed).__name__}: {failed}"
            if rows is not None:
                _dump(rows, path)
            answers.write(json.dumps({"error": error, "rows": rows is not None}) + "\n")
            answers.flush()
    finally:
        engine.stop()


if __name__ == "__main__":
    _serve()
