from __future__ import annotations

import base64
import html
import json
from time import process_time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindling_core.secrets import MASK, Redactor, redacted

SECRET = "it's \"a\\b\né€😀/@#&<"
SPELLINGS = {
    "plain": str,
    "repr": repr,
    "repr with an escaped quote": lambda secret: repr("'\"" + secret),
    "repr of a repr": lambda secret: repr(repr(secret)),
    "ascii": ascii,
    "bytes": lambda secret: repr(secret.encode()),
    "json": json.dumps,
    "json in unicode": lambda secret: json.dumps(secret, ensure_ascii=False),
    "json in json": lambda secret: json.dumps(json.dumps(secret)),
    "quote": quote,
    "quote without safe signs": lambda secret: quote(secret, safe=""),
    "quote twice": lambda secret: quote(quote(secret)),
    "quote in lower case": lambda secret: quote_plus(secret).lower(),
    "quote_plus": quote_plus,
    "html": html.escape,
    "doubled quotes": lambda secret: secret.replace("'", "''"),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
}
# Letters that make secrets overlap, begin with each other and look escaped.
LETTERS = st.sampled_from("ab*%\\'4 1")
WORDS = st.text(LETTERS, min_size=4, max_size=9)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_masked_however_it_is_written(spelling: str) -> None:
    written = SPELLINGS[spelling](SECRET)
    masked = Redactor([SECRET])(f"failed with {written}, sorry")
    core = written.strip("'\"b\\")
    assert core not in masked
    assert MASK in masked
    assert len(masked) < len("failed with , sorry") + 14


@pytest.mark.parametrize("before", ["", "x", "xy", "user:"])
def test_a_secret_within_base64_is_masked(before: str) -> None:
    secret = "correct horse battery"
    written = base64.b64encode(f"{before}{secret}z".encode()).decode()
    masked = Redactor([secret])(f"Basic {written}")
    assert len(masked) < len("Basic ") + len(before) * 2 + 12


def test_secrets_that_overlap_or_begin_alike_are_masked_whole() -> None:
    redact = Redactor(["pass", "ssword99", "password"])
    assert redact("x password99 y") == "x *** y"


def test_a_line_of_a_secret_of_several_lines_is_masked() -> None:
    redact = Redactor(["first line 1\nsecond line 2\n"])
    assert redact("at 'second line 2'") == "at '***'"


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=8), st.lists(st.one_of(WORDS, st.integers(0, 7)), max_size=12))
def test_no_secret_survives(secrets: list[str], parts: list[str | int]) -> None:
    text = "".join(
        part if isinstance(part, str) else (secrets[part % len(secrets)] if secrets else "") for part in parts
    )
    masked = Redactor(secrets)(text)
    known = [secret for secret in secrets if secret != MASK]
    assert [secret for secret in known if secret in masked] == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("XYZ", min_size=4, max_size=9), max_size=8), st.text("abcé %\\'\"+&;/\n1", max_size=200))
def test_text_without_secrets_is_unchanged(secrets: list[str], text: str) -> None:
    assert Redactor(secrets)(text) == text


UNITS = {
    "letters": "a",
    "dots": "a.",
    "a long name": "password",
    "schemes": "a://",
    "users": "a://b:",
    "passwords": "a://b:c@",
    "early at": "a://",
    "assignments": "pwd=x;",
    "equals": "=",
    "open braces": "pwd={",
    "open braces on lines": "pwd={\n",
    "open quotes": 'pwd="',
    "dicts": "'pwd': '",
    "backslashes": "\\",
    "quotes": '\\"',
    "escapes": "\\x41",
    "percents": "%41",
    "percent signs": "%",
    "pluses": "+",
    "entities": "&amp;",
    "private keys": "-----BEGIN PRIVATE KEY-----",
    "bearers": "bearer ",
    "authorizations": "authorization: ",
    "spaces": " ",
    "secret": "hunter22",
    "periodic": "ab",
}
BEGINNINGS = {"early at": "x@", "backslashes": "'pwd': '", "letters": "a://b@"}


@pytest.mark.parametrize("unit", UNITS)
def test_the_time_grows_with_the_length_of_the_text(unit: str) -> None:
    secrets = ["hunter22", "hunter222", "ab" * 500, "ab" * 499 + "c", "x y", *("a" * n for n in range(200, 220))]
    redact = Redactor(secrets)

    def seconds(length: int) -> float:
        text = BEGINNINGS.get(unit, "") + (UNITS[unit] * length)[:length]
        best = float("inf")
        for _ in range(2):
            started = process_time()
            redact(text)
            best = min(best, process_time() - started)
        return best

    # Eight times the text: a quadratic search would take 64 times as long. Less than 2 ms is noise.
    assert seconds(280_000) < 32 * max(seconds(35_000), 0.002)


def test_details_that_contain_themselves_are_masked_once() -> None:
    details: dict[str, Any] = {"text": "password=abc"}
    details["again"] = details
    details["list"] = [details, "password=abc"]
    masked = redacted(details, Redactor())
    assert masked == {"text": "password=***", "again": "...", "list": ["...", "password=***"]}


def test_details_that_unfold_to_very_many_values_are_cut() -> None:
    texts: list[str] = []
    part: Any = ["x"]
    for _ in range(40):
        part = [part, part]

    def redact(text: str) -> str:
        texts.append(text)
        return text

    redacted({"part": part}, redact)
    assert 0 < len(texts) <= 200_000


def test_details_that_are_nested_too_deep_are_cut() -> None:
    deep: Any = "password=abc"
    for _ in range(5_000):
        deep = [deep]
    assert str(redacted({"deep": deep}, Redactor())).count("[") <= 100


def test_whatever_shows_a_secret_in_details_is_masked() -> None:
    class Url:
        def __str__(self) -> str:
            return "db://u:word@h"

    kept = object()
    masked = redacted({"url": Url(), "password=abc": {"password=abc"}, "n": 1, "kept": kept}, Redactor())
    assert masked == {"url": "db://u:***@h", "password=***": ["password=***"], "n": 1, "kept": kept}
