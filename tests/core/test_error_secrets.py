"""No error text shows a secret: in signals, reports, logs and errors of the composition."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kindling_core import App, KindlingError, Pipes, RunFailed, hookimpl
from kindling_core.cli.context import CommandContext
from kindling_core.cli.main import run_command_line
from kindling_core.cli.run_report import print_failures
from kindling_core.errors import TEXT_LIMIT, PipeError
from kindling_core.signals import BlinkerSignalProvider

LOUD = "swordfish-99"
ENVIRON = {"DB_PASSWORD": LOUD}


def app_of(pipes: Pipes | None = None, plugins: Sequence[object] = ()) -> App:
    app = App(config={"job": {"name": "${DB_PASSWORD}"}}, environ=ENVIRON, plugins=plugins)
    if pipes is not None:
        app.mount(pipes)
    return app


@pytest.mark.parametrize("field", ["error", "exception", "reason", "message"])
def test_an_error_text_of_any_signal_reaches_receivers_without_secrets(field: str) -> None:
    heard: list[Any] = []
    with app_of() as app:
        app.signals.create_signal("mail.x_failed").connect(lambda sender, **fields: heard.append(fields))
        app.signals.emit("mail.x_failed", **{field: f"no login with {LOUD}"}, pipe_id=LOUD)
    assert heard == [{field: "no login with ***", "pipe_id": LOUD}]


def test_a_provider_by_itself_masks_what_shows_by_its_form() -> None:
    heard: list[Any] = []
    signals = BlinkerSignalProvider()
    signals.on("a.b", lambda sender, error: heard.append(error))
    signals.emit("a.b", error=f"db://me:{LOUD}@h: refused")
    assert heard == ["db://me:***@h: refused"]


def test_the_error_of_a_receiver_is_told_and_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def broken(sender: object, **fields: Any) -> None:
        raise ValueError(f"no login with {LOUD}")

    with app_of() as app:
        app.signals.on("signals.receiver_failed", lambda sender, error, **fields: heard.append(error))
        app.signals.on("mail.sent", broken)
        app.signals.emit("mail.sent")
    assert heard == ["no login with ***"]
    assert "ValueError: no login with ***" in caplog.text
    assert LOUD not in caplog.text


class Leaky:
    """A feature each of whose hooks fails around a pipe with a secret in its error."""

    @hookimpl
    def kindling_after_pipe(self) -> None:
        raise ValueError(f"after with {LOUD}")

    @hookimpl
    def kindling_after_run(self) -> None:
        raise ValueError(f"end with {LOUD}")

    @hookimpl
    def kindling_classify_error(self) -> bool | None:
        raise ValueError(f"classified with {LOUD}")


def test_what_features_raise_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    def leak() -> None:
        error = PipeError(f"failed with {LOUD}")
        error.details = {"query": [f"login {LOUD}"]}
        raise error

    pipes = Pipes()
    pipes.pipe("a.b", retry=2)(leak)
    leaking = app_of(pipes, plugins=[Leaky()])
    with leaking as app, caplog.at_level(logging.DEBUG), pytest.raises(RunFailed) as failed:
        app.run()
    assert "classified with ***" in caplog.text
    assert "after with ***" in caplog.text
    assert "end with ***" in caplog.text
    assert LOUD not in caplog.text
    assert LOUD not in str(failed.value.report.to_dict())
    assert failed.value.report.pipe("a.b").details == {"query": ["login ***"]}


class Closes:
    """What a feature offers, and that does not close."""

    def close(self) -> None:
        raise ValueError(f"not closed: {LOUD}")


class Offers:
    """Offers what does not close, and does not stop either."""

    @hookimpl
    def kindling_services(self) -> dict[type, Any]:
        return {Closes: Closes}

    @hookimpl
    def kindling_stop(self) -> None:
        raise ValueError(f"first with {LOUD}")


class StopsNot:
    """A second feature that does not stop."""

    @hookimpl
    def kindling_stop(self) -> None:
        raise ValueError(f"second with {LOUD}")


def test_what_fails_while_an_app_closes_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(plugins=[Offers(), StopsNot()])
    app.start()
    app.service(Closes)
    with pytest.raises(KindlingError):
        app.close()
    assert "ValueError: first with ***" in caplog.text
    assert "ValueError: not closed: ***" in caplog.text
    assert LOUD not in caplog.text


class StartsNot:
    """A feature that neither starts nor stops."""

    @hookimpl
    def kindling_start(self) -> None:
        raise ValueError("no start")

    @hookimpl
    def kindling_stop(self) -> None:
        raise ValueError(f"no stop with {LOUD}")


def test_what_fails_while_a_start_is_taken_back_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(plugins=[StartsNot()])
    with pytest.raises(KindlingError, match="no start"):
        app.start()
    assert "ValueError: no stop with ***" in caplog.text
    assert LOUD not in caplog.text


def test_a_task_that_ends_the_loop_of_coroutines_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    async def leaves(error: BaseException) -> None:
        raise error

    async def receiver(sender: object, failure: BaseException) -> None:
        task = asyncio.get_running_loop().create_task(leaves(failure))
        task.add_done_callback(lambda task: ended.set())

    with app_of() as app:
        app.signals.on("mail.sent", receiver)
        for kind in (ValueError, SystemExit):
            ended.clear()
            app.signals.emit("mail.sent", failure=kind(f"left with {LOUD}"))
            assert ended.wait(10)
    gc.collect()
    assert "ValueError: left with ***" in caplog.text
    assert "SystemExit: left with ***" in caplog.text
    assert LOUD not in caplog.text


def test_a_feature_outside_the_job_that_cannot_be_asked_is_logged_without_secrets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stranger:
        def make(self) -> object:
            raise ValueError(f"no licence {LOUD}")

    monkeypatch.setattr("kindling_core.composition.discover", lambda environ: {"stranger": Stranger()})
    with caplog.at_level(logging.DEBUG), pytest.raises(KindlingError, match="unknown section"):
        App(config={"job": {"name": "${DB_PASSWORD}"}, "nobodys": {"a": 1}}, environ=ENVIRON)
    assert "ValueError: no licence ***" in caplog.text
    assert LOUD not in caplog.text


def test_an_error_of_the_composition_shows_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "leaky_module_1.py").write_text(f"raise ValueError('no login with {LOUD}')")
    job = tmp_path / "kindling.toml"
    job.write_text('[job]\nname = "${DB_PASSWORD}"\nmodules = ["leaky_module_1"]\n')
    with pytest.raises(KindlingError) as failed:
        App.from_job(job, environ=ENVIRON)
    assert "no login with ***" in str(failed.value)


def test_the_command_line_masks_where_no_job_composes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_PASSWORD", LOUD)
    (tmp_path / "leaky_module_2.py").write_text(
        "import os\nraise SystemError('no login with ' + os.environ['DB_PASSWORD'])"
    )
    (tmp_path / "kindling.toml").write_text('[job]\nmodules = ["leaky_module_2"]\n')
    for command in ("run", "doctor", "config"):
        run_command_line([command])
    told = capsys.readouterr()
    assert "no login with ***" in told.err
    assert LOUD not in told.err + told.out


# A text of ``TEXT_LIMIT`` characters and more is cut within its secret, wherever the cut is made.
LONG = LOUD * 2_000


def shows_a_part(text: str) -> bool:
    """Whether a part of the secret of at least 4 characters is shown."""
    return any(LOUD[start : start + 4] in text for start in range(len(LOUD) - 3))


def test_a_secret_at_the_cut_of_a_long_text_of_a_receiver_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def broken(sender: object, **fields: Any) -> None:
        raise ValueError(LONG)

    with app_of() as app:
        app.signals.on("signals.receiver_failed", lambda sender, error, **fields: heard.append(error))
        app.signals.on("mail.sent", broken)
        app.signals.emit("mail.sent")
        app.signals.strict = True
        with pytest.raises(KindlingError) as failed:
            app.signals.emit("mail.sent")
    assert [text for text in [*heard, str(failed.value)] if shows_a_part(text)] == []


def test_a_long_error_text_of_any_signal_is_masked_before_it_is_shortened() -> None:
    heard: list[str] = []
    with app_of() as app:
        app.signals.on("mail.x_failed", lambda sender, error: heard.append(error))
        app.signals.emit("mail.x_failed", error=f"{'x' * 4_970}{LOUD}{'y' * 8_000}")
    (text,) = heard
    assert len(text) <= TEXT_LIMIT
    assert not shows_a_part(text)


class FailsLong:
    """A feature that fails with a long text."""

    @hookimpl
    def kindling_start(self) -> None:
        raise ValueError(LONG)


class MadeLong:
    """A feature that cannot even be made."""

    def __init__(self) -> None:
        raise ValueError(LONG)


def test_a_secret_at_the_cut_of_a_long_text_of_a_plugin_is_masked() -> None:
    with pytest.raises(KindlingError) as started:
        app_of(plugins=[FailsLong()]).start()
    with pytest.raises(KindlingError) as made:
        app_of(plugins=[MadeLong])
    assert not shows_a_part(str(started.value))
    assert not shows_a_part(str(made.value))


def test_a_secret_at_the_cut_of_a_long_text_of_a_module_is_masked(tmp_path: Path) -> None:
    (tmp_path / "leaky_module_3.py").write_text(
        f"from kindling_core import KindlingError\nraise KindlingError({LONG!r})\n"
    )
    with pytest.raises(KindlingError) as failed:
        App(modules=["leaky_module_3"], name="${DB_PASSWORD}", base_dir=tmp_path, environ=ENVIRON)
    assert len(str(failed.value)) <= TEXT_LIMIT
    assert not shows_a_part(str(failed.value))


@pytest.mark.parametrize("kind", ["SelectionError", "RunFailed"])
def test_the_command_line_masks_a_long_text_before_it_is_shortened(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_PASSWORD", LOUD)
    made = "RunFailed(LONG, RunReport('r', 'batch', 'failed', ''))" if kind == "RunFailed" else f"{kind}(LONG)"
    (tmp_path / f"leaky_module_{kind}.py").write_text(
        "from kindling_core import RunFailed, RunReport, SelectionError, hookimpl\n"
        f"LONG = {LONG!r}\n"
        "class Refuses:\n"
        "    @hookimpl\n"
        "    def kindling_start(self):\n"
        f"        raise {made}\n"
    )
    (tmp_path / "kindling.toml").write_text(
        f'[job]\nname = "${{DB_PASSWORD}}"\nplugins = ["leaky_module_{kind}:Refuses"]\n'
    )
    run_command_line(["run"])
    shown = capsys.readouterr().err
    assert "***" in shown
    assert not shows_a_part(shown)


def test_a_secret_at_the_cut_of_a_long_text_of_a_run_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    pipes = Pipes()
    pipes.pipe("a.b")(lambda: None)
    with app_of(pipes) as app:
        failure = RunFailed(LONG, app.run())
        failure.__cause__ = ValueError("of the run")
        print_failures(CommandContext(), app, failure, False)
    shown = capsys.readouterr().err
    assert "***" in shown
    assert not shows_a_part(shown)
