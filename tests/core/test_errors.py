"""Texts of errors: of any class, of any length."""

from __future__ import annotations

import pytest

from kindling_core.errors import MOST_NAMED, TEXT_LIMIT, GenerationFailed, listed, safe_str, shortened, text_of


class Raises(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


class NoText(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


class Text(str):
    def __len__(self) -> int:
        raise RuntimeError

    def __bool__(self) -> bool:
        raise RuntimeError

    def __format__(self, spec: str) -> str:
        raise RuntimeError


class OddText(Exception):
    def __str__(self) -> str:
        return Text("odd")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("plain"), "plain"),
        (ValueError(), "ValueError"),
        (Raises(), "a Raises whose text cannot be read (SystemExit)"),
        (NoText(), "a NoText whose text cannot be read (TypeError)"),
        (OddText(), "odd"),
        (None, "None"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_an_error_has_a_text_whatever_its_class_does(error: BaseException | None, text: str) -> None:
    found = text_of(error)
    assert (found, type(found)) == (text, str)


def test_an_interrupt_while_a_text_is_made_goes_on() -> None:
    class Interrupted(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        text_of(Interrupted())


def test_a_value_has_a_text_too() -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError

    assert safe_str(Broken()) == "a Broken whose text cannot be read (ValueError)"


@pytest.mark.parametrize("length", [TEXT_LIMIT - 1, TEXT_LIMIT, TEXT_LIMIT + 1, 1_000_000])
def test_a_text_keeps_its_beginning_and_its_end_within_the_limit(length: int) -> None:
    text = f"begin {'x' * (length - 10)} end"
    found = text_of(ValueError(text))
    assert len(found) <= TEXT_LIMIT
    assert (found == text) is (length <= TEXT_LIMIT)
    assert found.startswith("begin ")
    assert found.endswith(" end")


def test_what_is_left_out_is_counted() -> None:
    text = "".join(chr(ord("a") + n % 26) for n in range(5_000))
    found = shortened(text, 1_000)
    begin, mark, end = found.split("\n")
    left_out = int(mark.split()[1].replace(",", ""))
    assert len(begin) + left_out + len(end) == len(text)
    assert text.startswith(begin)
    assert text.endswith(end)


def test_secrets_are_masked_before_a_text_is_cut() -> None:
    secret = "s3cr3t-value-of-some-length"
    for shift in range(0, 60, 3):
        text = "x" * (TEXT_LIMIT // 2 - shift) + secret + "y" * TEXT_LIMIT
        found = text_of(ValueError(text), lambda text: text.replace(secret, "***"))
        assert "s3c" not in found


def test_many_failures_are_counted_beyond_the_first() -> None:
    names = [f"pipe_{number}" for number in range(8_000)]
    text = listed(names, lambda name: f"{name}: {'x' * 5_000}", "the report")
    assert text.count("pipe_") == MOST_NAMED
    assert text.endswith("; and 7,995 more; the report has all")
    assert len(text) < TEXT_LIMIT
    assert listed(names[:2], lambda name: name, "the report") == "pipe_0; pipe_1"


def test_a_generation_of_many_failures_has_a_message_within_the_limit() -> None:
    failures: dict[str, BaseException] = {f"p_{number}": Raises() for number in range(8_000)}
    error = GenerationFailed(failures, dict.fromkeys(failures, False))
    assert len(str(error)) <= TEXT_LIMIT
    assert str(error).startswith("8000 of 8000 pipes failed: p_0: a Raises whose text")
    assert len(error.failures) == 8_000
