from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from kindling_core.config import Config, Section
from kindling_core.config_layers import environment_layer, file_layer, mapping_layer, override_layer
from kindling_core.errors import ConfigError
from kindling_core.sections import ExecutionSection, JobSection


class Store(Section):
    url: str = "none"
    password: SecretStr | None = None
    hosts: list[str] = []


def job_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kindling.toml"
    path.write_text(text)
    return path


def test_the_command_line_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = file_layer(job_file(tmp_path, "[execution]\nmax_workers = 2\n"))
    environment = environment_layer({"KINDLING_EXECUTION__MAX_WORKERS": "3"})
    line = override_layer(["execution.max_workers=5"])
    for layers, expected in (([file], 2), ([file, environment], 3), ([file, environment, line], 5)):
        config = Config(layers, {})
        assert config.resolve("execution", ExecutionSection).max_workers == expected


def test_each_setting_tells_where_it_came_from(tmp_path: Path) -> None:
    config = Config(
        [
            file_layer(job_file(tmp_path, '[job]\nname = "nightly"\n')),
            environment_layer({"KINDLING_JOB__MODULES": '["a", "b"]'}),
            override_layer(['job.features=["entities"]']),
        ],
        {},
    )
    config.resolve("job", JobSection)
    told = {setting.key: (setting.value, setting.origin) for setting in config.settings()}
    assert told == {
        "job.name": ("nightly", "kindling.toml:2"),
        "job.modules": (["a", "b"], "environment KINDLING_JOB__MODULES"),
        "job.features": (["entities"], "--set job.features"),
        "job.plugins": ([], "default"),
    }


def test_an_unknown_key_names_the_line_and_near_matches(tmp_path: Path) -> None:
    config = Config([file_layer(job_file(tmp_path, "# a comment\n[execution]\n\nmax_worker = 2\n"))], {})
    with pytest.raises(ConfigError, match=r"kindling\.toml:4: unknown key 'max_worker'.*Did you mean 'max_workers'"):
        config.resolve("execution", ExecutionSection)


def test_a_wrong_value_names_the_line_and_the_value(tmp_path: Path) -> None:
    config = Config([file_layer(job_file(tmp_path, '[execution]\nmax_workers = "many"\n'))], {})
    with pytest.raises(ConfigError, match=r"kindling\.toml:2: execution\.max_workers: .*integer.*'many'"):
        config.resolve("execution", ExecutionSection)


def test_a_placeholder_is_filled_from_the_environment() -> None:
    config = Config([mapping_layer({"store": {"url": "db://${HOST}/${DB:-main}/$${kept}"}}, "test")], {"HOST": "h"})
    assert config.resolve("store", Store).url == "db://h/main/${kept}"


def test_a_placeholder_that_is_not_set_is_an_error_with_its_origin(tmp_path: Path) -> None:
    layer = file_layer(job_file(tmp_path, '[store]\nurl = "${HOTS}"\n'))
    with pytest.raises(ConfigError, match=r"kindling\.toml:2: \$\{HOTS\} is not set.*Did you mean 'HOST'"):
        Config([layer], {"HOST": "h"})


def test_secrets_are_masked_in_settings_and_in_any_text() -> None:
    data = {"store": {"url": "postgresql://me:hunter22@h/db", "password": "${DB_PASSWORD}", "hosts": ["${API_TOKEN}"]}}
    config = Config([mapping_layer(data, "test")], {"DB_PASSWORD": "swordfish", "API_TOKEN": "tok-12345"})
    store = config.resolve("store", Store)
    assert store.password is not None
    assert store.password.get_secret_value() == "swordfish"
    shown = str(config.settings())
    told = config.redact("login hunter22, swordfish and tok-12345 at other://x:plain-text@y failed")
    for secret in ("hunter22", "swordfish", "tok-12345", "plain-text"):
        assert secret not in shown
        assert secret not in told


def test_a_wrong_secret_is_not_repeated_in_its_error() -> None:
    config = Config([mapping_layer({"execution": {"max_workers": "${MY_TOKEN}"}}, "test")], {"MY_TOKEN": "tok-12345"})
    with pytest.raises(ConfigError) as error:
        config.resolve("execution", ExecutionSection)
    assert "tok-12345" not in str(error.value)


def test_a_file_that_is_not_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not valid TOML.*line 2"):
        file_layer(job_file(tmp_path, "[job]\nname = \n"))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kindling init"):
        file_layer(tmp_path / "kindling.toml")


@pytest.mark.parametrize("assignment", ["execution", "execution=3", ".x=3", "execution.max_workers"])
def test_an_override_without_section_key_and_value_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        override_layer([assignment])


def test_a_plain_value_where_a_section_belongs_is_refused(tmp_path: Path) -> None:
    config = Config([file_layer(job_file(tmp_path, "execution = 3\n"))], {})
    with pytest.raises(ConfigError, match=r"kindling\.toml:1: 'execution' is a section"):
        config.resolve("execution", ExecutionSection)
