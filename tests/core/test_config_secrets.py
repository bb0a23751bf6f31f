"""No secret of the settings is shown: by the settings, by errors, by any text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from kindling_core.config import Config, Section
from kindling_core.config_layers import file_layer, mapping_layer, override_layer
from kindling_core.errors import ConfigError

LOUD = "swordfish-99"


class Server(BaseModel):
    host: str = "h"
    pin: SecretStr | None = None


class Anything(Section):
    url: str = ""
    key: str = ""
    pwd: str = ""
    password: str = ""
    api_key: int = 0
    connection_string: str = ""
    merge_keys: list[str] = []
    token_count: int = 0
    use_token: bool = False
    conf: dict[str, Any] = {}
    sources: list[dict[str, Any]] = []
    servers: list[Server] = []
    pin: SecretStr = Field(SecretStr(""), min_length=20)
    code: list[SecretStr] = []

    @field_validator("url")
    @classmethod
    def _no_spaces(cls, given: str) -> str:
        if " " in given:
            raise ValueError(f"{given!r} has a space")
        return given


def config_of(data: dict[str, Any], environ: dict[str, str] | None = None) -> Config:
    config = Config([mapping_layer({"any": data}, "test")], environ or {})
    config.resolve("any", Anything)
    return config


@pytest.mark.parametrize(
    "data",
    [
        {"key": LOUD},
        {"pwd": LOUD},
        {"connection_string": f"Server=x;Thing={LOUD}"},
        {"conf": {"fs.azure.account.key.x.dfs.core.windows.net": LOUD}},
        {"conf": {"spark": {"hadoop": {"fs": {"s3a": {"secret": {"key": LOUD}}}}}}},
        {"conf": {"ACCESS-KEY": [LOUD, LOUD]}},
        {"conf": {"credentials": {"prod": {"value": LOUD}}}},
        {"sources": [{"name": "a", "password": LOUD}, {"nested": [{"token": LOUD}]}]},
        {"sources": [{"url": f"db://me:p@ss{LOUD}/#@host/x"}]},
        {"url": f"jdbc:db://h/x?password={LOUD}"},
        {"url": f"https://h/x?sv=1&sig={LOUD}"},
        {"url": f"AccountName=a;AccountKey={LOUD}"},
        {"servers": [{"pin": LOUD}]},
        {"code": [LOUD]},
        {"pin": LOUD + LOUD},
    ],
)
def test_a_secret_is_shown_by_no_setting_and_in_no_text(data: dict[str, Any]) -> None:
    config = config_of(data)
    assert LOUD not in str(config.settings())
    assert "***" in str(config.settings())
    assert LOUD not in config.redact(f"failed with {data!r}")


def test_ordinary_settings_are_shown() -> None:
    config = config_of(
        {"merge_keys": ["a"], "token_count": 12345, "use_token": True, "sources": [{"key_columns": ["b"]}], "key": ""}
    )
    shown = {setting.key: setting.value for setting in config.settings()}
    assert shown["any.merge_keys"] == ["a"]
    assert shown["any.token_count"] == 12345
    assert shown["any.use_token"] is True
    assert shown["any.sources"] == [{"key_columns": ["b"]}]


def test_a_variable_with_the_name_of_a_secret_marks_what_it_fills_also_within_tables() -> None:
    config = config_of({"sources": [{"plain": "x=${MY_TOKEN}"}]}, {"MY_TOKEN": LOUD})
    assert config.section("any").sources == [{"plain": f"x={LOUD}"}]
    assert LOUD not in str(config.settings())
    assert LOUD not in config.redact(f"just {LOUD}")


def test_the_working_directory_does_not_mark_a_setting() -> None:
    config = config_of({"url": "${PWD}/lake"}, {"PWD": "/srv/jobs"})
    assert "/srv/jobs/lake" in str(config.settings())


def test_a_password_in_a_url_is_known_without_its_encoding() -> None:
    config = config_of({"url": "db://me:sword%40fish@h"})
    assert config.redact("login sword@fish or sword%40fish failed") == "login *** or *** failed"


@pytest.mark.parametrize(
    "data",
    [
        {"password": [LOUD]},
        {"api_key": LOUD},
        {"sources": {"password": LOUD}},
        {"sources": [LOUD, {"password": LOUD}], "key": LOUD},
        {"servers": [{"pin": {"x": LOUD}}]},
        {"pin": LOUD},
        {"code": {"a": LOUD}},
        {"code": LOUD},
        {"url": f"db://me:{LOUD}@h with space"},
        {"nowhere": LOUD},
    ],
)
def test_a_wrong_value_of_a_secret_is_not_shown_by_its_error(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as failed:
        config_of(data)
    assert LOUD not in str(failed.value)


@pytest.mark.parametrize(
    "assignment", [f"password={LOUD}", f"any.password:{LOUD}", f".x={LOUD}", f"any.password {LOUD}"]
)
def test_an_assignment_that_is_refused_is_shown_without_its_value(assignment: str) -> None:
    with pytest.raises(ConfigError) as failed:
        override_layer([assignment])
    assert LOUD not in str(failed.value)


@pytest.mark.parametrize(
    "text",
    [f'[any]\npassword = "{LOUD}', f"[any]\npassword = {LOUD}", f'password = "{LOUD}" "x"', f"a = '{LOUD}\\'\n'"],
)
def test_a_file_that_is_not_toml_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kindling.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as failed:
        file_layer(path)
    assert LOUD not in str(failed.value)
