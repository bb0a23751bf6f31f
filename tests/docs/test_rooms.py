"""The page on the architecture names every room, and no module imports from a room that stands below its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = {
    "kindling_core": ROOT / "kindling_core",
    "kindling_entities": ROOT / "plugins" / "entities" / "kindling_entities",
    "kindling_state": ROOT / "plugins" / "state" / "kindling_state",
    "kindling_watermark": ROOT / "plugins" / "watermark" / "kindling_watermark",
}
# The face of a package, which imports whatever it shows, and what starts it.
FACES = {"__init__", "__main__", "_version"}


def rooms_of(package: str) -> list[str]:
    """Return the rooms of a package in the order of the page."""
    section = re.search(rf"^### `{package}`\n(.*?)(?=^#)", PAGE, re.DOTALL | re.MULTILINE)
    assert section is not None, f"docs/architecture.md has no section ### `{package}`"
    return re.findall(r"^\| `([a-z_0-9]+)(?:/|\.py)` \|", section[1], re.MULTILINE)


def modules_of(package: str) -> Iterator[tuple[str, Path]]:
    """Yield the room and the path of each module."""
    folder = PACKAGES[package]
    for path in sorted(folder.rglob("*.py")):
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        if room not in FACES and "build" not in path.parts:
            yield room, path


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each module that is imported when the program runs, also within functions."""

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(path.read_text()))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_is_in_the_page(package: str) -> None:
    assert sorted(rooms_of(package)) == sorted({room for room, _ in modules_of(package)})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_imports_only_from_rooms_above_its_own(package: str) -> None:
    place = {room: index for index, room in enumerate(rooms_of(package))}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for room, path in modules_of(package)
        for line, name in imports_of(path)
        if name.startswith(f"{package}.") and place.get(name.split(".")[1], -1) > place[room]
    ]
    assert wrong == []


def test_the_core_imports_no_plugin() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for _, path in modules_of("kindling_core")
        for line, name in imports_of(path)
        if name.startswith("kindling_") and name.split(".")[0] != "kindling_core"
    ]
    assert found == []


def test_every_path_in_the_page_exists() -> None:
    paths = re.findall(r"`((?:kindling_core|plugins|tests|examples|benchmarks|docs|tools)/[a-z_0-9/.-]+)`", PAGE)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
