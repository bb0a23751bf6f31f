"""The command line without any feature; with entities it is tested in tests/entities."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kindling_core.cli.main import run_command_line

JOB = '[job]\nname = "small"\nmodules = ["{module}"]\n'
PIPES = """
from kindling_core import Pipes

pipes = Pipes()


@pipes.pipe("a.first", tags=["nightly"])
def first():
    {body}


@pipes.pipe("b.second")
def second():
    return None
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A job of two pipes; its module's name is new, since a process imports a name once."""
    module = f"cli_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(PIPES.format(body=getattr(request, "param", "return None")))
    (tmp_path / "kindling.toml").write_text(JOB.format(module=module))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_prints_a_report_and_exits_with_0(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run"]) == 0
    assert "a.first" in capsys.readouterr().out


@pytest.mark.parametrize("job", ["raise ValueError('broken on purpose')"], indirect=True)
def test_a_failed_pipe_exits_with_1_and_names_the_users_line(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "a.first"]) == 1
    told = capsys.readouterr()
    assert "ValueError: broken on purpose" in told.err
    assert "in first: raise ValueError('broken on purpose')" in told.err


@pytest.mark.parametrize("job", [r"raise ValueError('red \x1b[31m and \x1b]0;title\x07')"], indirect=True)
def test_the_text_of_an_error_does_not_steer_the_terminal(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", "a.first"]) == 1
    told = capsys.readouterr()
    assert r"ValueError: red \x1b[31m and \x1b]0;title\x07" in told.err
    assert not {"\x1b", "\x07"} & set(told.out + told.err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "a.frist"], "Did you mean 'a.first'"),
        (["run", "--job", "nowhere.toml"], "No job file at nowhere.toml"),
        (["run", "a.frist"], "error: 'a.frist' is not a pipe or an entity of this job."),
        (["run", "--set", "execution.max_worker=1"], "Did you mean 'max_workers'"),
        (["run", "--set", "execution.max_workers=0"], "error: --set execution.max_workers: Input should be"),
        (["run", "--set", "job.features=['nothing_like_it']"], "pip install kindling-nothing-like-it"),
        (["rnu"], "No such command 'rnu'"),
        (["run", "--no-such-option"], "No such option"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_to_do(
    job: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["plan"], ["graph"], ["signals"], ["plugins"], ["config"], ["doctor"]],
    ids=lambda one: one[0],
)
def test_every_command_that_prints_data_prints_json(
    job: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_the_report_as_json_has_each_pipe_once(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command_line(["run", "--json", "!tag:nightly"])
    assert [pipe["pipe_id"] for pipe in json.loads(capsys.readouterr().out)["pipes"]] == ["b.second"]


def test_signals_shows_payload_fields_and_emitters(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["signals", "datapipes.after_pipe"]) == 0
    told = capsys.readouterr().out
    assert "DataPipesExecuter" in told
    assert "rows_processed: int | None" in told


def test_config_shows_origins_and_masks_secrets(
    job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "swordfish")
    assert run_command_line(["config", "--set", "job.name=${MY_PASSWORD}"]) == 0
    told = capsys.readouterr().out
    assert "job.name\t***\t--set job.name" in told
    assert "swordfish" not in told


@pytest.mark.parametrize("kind", ["text", "mermaid", "html"])
def test_graph_writes_each_format_whole(job: Path, kind: str) -> None:
    assert run_command_line(["graph", "--format", kind, "--output", f"out/graph.{kind}"]) == 0
    assert "a.first" in (job / "out" / f"graph.{kind}").read_text()
    assert [path.name for path in (job / "out").iterdir()] == [f"graph.{kind}"]


def test_init_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kindling.toml").write_text("mine")
    assert run_command_line(["init", str(tmp_path)]) == 2
    assert "kindling.toml" in capsys.readouterr().err
    assert (tmp_path / "kindling.toml").read_text() == "mine"


@pytest.mark.parametrize(
    "job", ["import threading; print('started', flush=True); threading.Event().wait(1.5)"], indirect=True
)
def test_ctrl_c_lets_the_running_pipe_end_and_prints_a_report(job: Path) -> None:
    command = [sys.executable, "-m", "kindling_core", "run", "--json", "--set", "execution.max_workers=1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopping" in err
    report = json.loads(out)
    assert report["status"] == "cancelled"
    assert [pipe["status"] for pipe in report["pipes"]] == ["succeeded", "skipped"]


def test_ctrl_c_while_modules_are_imported_prints_no_traceback():
    program = textwrap.dedent("""
        import sys

        class Interrupts:
            def find_spec(self, name, path=None, target=None):
                if name == "click":
                    raise KeyboardInterrupt

        sys.meta_path.insert(0, Interrupts())
        from kindling_core.__main__ import main

        main()
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "interrupted\n")


ENDINGS = """
import atexit, threading
from pathlib import Path
from kindling_core import Pipes

pipes = Pipes()
atexit.register(lambda: Path("atexit").write_text("called"))


def late():
    threading.main_thread().join()
    Path("thread").write_text("waited for")


@pipes.pipe("a")
def a():
    threading.Thread(target=late, daemon=False).start()
"""


@pytest.mark.parametrize("command", [["-m", "kindling_core"], [str(Path(sys.executable).with_name("kindling"))]])
def test_a_command_that_succeeds_ends_at_once_but_not_before_its_threads(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "endings.py").write_text(ENDINGS)
    (tmp_path / "kindling.toml").write_text(JOB.format(module="endings"))
    for arguments, status in ((["run"], 0), (["run", "nobody"], 2)):
        done = subprocess.run(
            [sys.executable, *command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert done.stdout.endswith("\n") or status
        assert (tmp_path / "atexit").read_text() == "called"
        if not status:
            assert (tmp_path / "thread").read_text() == "waited for"
