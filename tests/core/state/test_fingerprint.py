"""A fingerprint is the same in every process, and another one for another meaning."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kindling_core import Pipes
from kindling_core.state.fingerprint import Fingerprints, fingerprint

ODD = """
import dataclasses, enum, functools, re
from kindling_core import Pipes

pipes = Pipes()
MONTH = "2026-02"
COLUMNS = {"a", "b", "c", "dd", "eee"}
PATTERN = re.compile("x+", re.I)
LOCK = object()

class Kind(enum.Enum):
    ONE = 1

@dataclasses.dataclass
class Rule:
    name: str
    words: frozenset = frozenset({"p", "q", "r"})

class Cleaner:
    stop = {"u", "v", "w"}
    def __init__(self):
        self.place = object()
        self.words = {"k", "l", "m"}
    def clean(self, value):
        return helper(value)

@functools.lru_cache
def helper(value):
    return again(value) if value else MONTH

def again(value):
    return helper(value[1:])

def trim(value):
    return value.strip()

def made(extra):
    @functools.wraps(trim)
    def inner(frame):
        return [extra(frame), LOCK, {"s", "t"}]
    return inner

def decorated(function):
    @functools.wraps(function)
    def inner(*values, **named):
        return function(*values, **named)
    return inner

cleaner = Cleaner()

@pipes.pipe("defaults")
def defaults(rule=trim, one=lambda x: x in {"k", "l", "m"}, part=functools.partial(trim, "x"), it=Rule("a")):
    return rule, one, part, it, Kind.ONE

@pipes.pipe("globals", tags=["t"], retry=3)
def globals_():
    class Local:
        words = {"g", "h"}
    return cleaner, helper, PATTERN, COLUMNS, LOCK, Local, Kind, os_of()

def os_of():
    return [one for one in COLUMNS if one in ("a", MONTH)]

pipes.pipe("closure", inputs={"value": "t.a"})(made(lambda frame: trim(frame)))
pipes.pipe("decorated", inputs={"value": "t.a"})(decorated(decorated(trim)))
pipes.pipe("method", inputs={"value": "t.a"})(cleaner.clean)
pipes.pipe("object")(functools.partial(trim, value=Rule("z")))
"""


def told(folder: Path, seed: str) -> str:
    script = "import odd; from kindling_core.state.fingerprint import Fingerprints as F; f = F()\n"
    script += "for pipe in odd.pipes: print(pipe.pipe_id, f.of(pipe))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_two_processes_come_to_the_same_fingerprints(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(textwrap.dedent(ODD))
    first, second = told(tmp_path, "1"), told(tmp_path, "2")
    assert first == second
    assert len(first.splitlines()) == 6
    assert "0x" not in first


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('MONTH = "2026-02"', 'MONTH = "2026-03"', {"globals", "method"}),
        ("return value.strip()", "return value.lstrip()", {"defaults", "closure", "decorated", "object"}),
        ('{"u", "v", "w"}', '{"u", "v"}', {"globals", "method"}),
        ('it=Rule("a")', 'it=Rule("b")', {"defaults"}),
        ('re.compile("x+", re.I)', 're.compile("x+")', {"globals"}),
        ("return helper(value[1:])", "return helper(value[2:])", {"globals", "method"}),
        ("retry=3", "retry=4", {"globals"}),
        ("def again", "# A comment, and another line.\n\n\ndef again", set()),
        ("LOCK = object()", "LOCK = object()\nOTHER = 7", set()),
    ],
)
def test_what_a_pipe_refers_to_counts_and_nothing_else(tmp_path: Path, old: str, new: str, changed: set[str]) -> None:
    found = []
    for number, text in enumerate((ODD, ODD.replace(old, new))):
        assert number == 0 or text != ODD
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "odd.py").write_text(text)
        found.append(dict(line.split(" ", 1) for line in told(folder, "1").splitlines()))
    assert {name for name in found[0] if found[0][name] != found[1][name]} == changed


def test_plain_values_are_told_by_name() -> None:
    pipes, month = Pipes(), "2026-02"

    @pipes.pipe("p")
    def p(rows: int = 3) -> object:
        return month, rows

    (pipe,) = pipes
    assert Fingerprints().of(pipe).values == {"month": "'2026-02'", "rows": "3"}


def test_what_is_nested_is_told_by_a_digest_since_it_may_hold_secrets() -> None:
    pipes, settings = Pipes(), {"password": "hunter2hunter2"}

    @pipes.pipe("p")
    def p(columns: tuple[str, ...] = ("a", "b")) -> object:
        return settings, columns

    (pipe,) = pipes
    values = Fingerprints().of(pipe).values
    assert values["columns"] == "tuple['a', 'b']"
    assert values["settings"].startswith("dict #")


def test_a_pipe_that_refers_to_itself_and_to_much_has_a_fingerprint() -> None:
    many = list(range(100_000))
    many.append(many)  # type: ignore[arg-type]
    ring: list[object] = []
    ring.append(ring)
    pipes = Pipes()

    @pipes.pipe("p")
    def p() -> object:
        return p, many, ring

    (pipe,) = pipes
    assert fingerprint(pipe) == fingerprint(pipe)
