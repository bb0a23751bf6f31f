"""A pipe that forks: its child leaves the process, and never goes on with the parent's run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

SCRIPT = """
import os, sys
from kindling_core import BlinkerSignalProvider, DataPipesExecuter, DataPipesRegistry, PipeMetadata

def say(*words):
    # In a piece: threads write beside each other.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def forks():
    child = os.fork()
    if child == 0:
        sys.stdout.write("the child was here\\n")
        {child}
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    say("child", status)
    return "a value"

def write(entity_id, value, pipe):
    say("written by", "parent" if os.getpid() == parent else "child")

parent = os.getpid()
registry = DataPipesRegistry()
registry.register(PipeMetadata("a.b", "a.b", [], "a.b", {{}}, forks))
registry.register(PipeMetadata("b.c", "b.c", [], None, {{}}, lambda: None))
provider = BlinkerSignalProvider()
executer = DataPipesExecuter(registry, write_entity=write, signal_provider=provider, max_workers={workers})
for name in ("after_pipe", "pipe_failed", "after_run", "run_failed"):
    def told(sender, name=name, **fields):
        say("told", name, fields.get("pipe_id", ""))
    provider.create_signal("datapipes." + name).connect(told)
report = executer.run_datapipes(["a.b", "b.c"])
provider.close()
say(report.status)
"""


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize(
    ("child", "status", "message"),
    [
        ("sys.exit(7)", 7, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('what went wrong')", 1, "what went wrong"),
        ("raise SystemExit(256 + 3)", 3, ""),
        ("raise ValueError('of the child')", 1, "ValueError: of the child"),
        ("return None", 0, ""),
    ],
)
def test_the_child_of_a_pipe_ends_with_its_status_and_the_run_goes_on(
    tmp_path: Path, child: str, status: int, message: str, workers: int
) -> None:
    script = tmp_path / "forks.py"
    script.write_text(textwrap.dedent(SCRIPT.format(child=child, workers=workers)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert f"child {status}" in lines
    assert "the child was here" in lines
    assert message in done.stderr
    assert lines.count("written by parent") == 1
    assert "written by child" not in lines
    assert sorted(line for line in lines if line.startswith("told")) == [
        "told after_pipe a.b",
        "told after_pipe b.c",
        "told after_run ",
    ]
    assert lines[-1] == "succeeded"


def test_the_child_of_a_queued_receiver_ends_with_its_status(tmp_path: Path) -> None:
    script = tmp_path / "forks.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys
            from kindling_core import BlinkerSignalProvider

            provider = BlinkerSignalProvider()

            def forks(sender):
                child = os.fork()
                if child == 0:
                    sys.exit(5)
                print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

            provider.create_signal("x.y").connect(forks, queued=True)
            provider.emit("x.y")
            provider.close()
            print("failures", dict(provider.failures))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["child 5", "failures {}"], done.stderr
