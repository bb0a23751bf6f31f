from __future__ import annotations

import pytest

from kindling_core.secrets import Redactor, secrets_in

SHOWN = [
    ("postgresql://u:p@ss@host/db", "postgresql://u:***@host/db"),
    ("db://u:p@s/s#x?y@host/db, then x@y", "db://u:***@host/db, then x@y"),
    ("db://u:p%40ss@host", "db://u:***@host"),
    ("redis://:word@host", "redis://:***@host"),
    ("https://ghp_abc@github.com/x", "https://***@github.com/x"),
    ("h;token=abc", "h;token=***"),
    ("AccountName=a;AccountKey=aGk+/==;E=1", "AccountName=a;AccountKey=***;E=1"),
    ("Server=h;Access Key=a&b;E=1", "Server=h;Access Key=***;E=1"),
    ("Uid=u;Pwd={a;b}}c};X=1", "Uid=u;Pwd=***;X=1"),
    ("jdbc:sqlserver://h:1433;user=sa;password=b@c;x=1", "jdbc:sqlserver://h:1433;user=sa;password=***;x=1"),
    ("db://h/x?password=a&b=1", "db://h/x?password=***&b=1"),
    ("https://h/c?sv=1&sig=aa%2Fbb&se=2", "https://h/c?sv=1&sig=***&se=2"),
    ("https://h/?key=abc", "https://h/?key=***"),
    ("connect(password='p w', x=1)", "connect(password='***', x=1)"),
    ('username="u" password="p w";', 'username="u" password="***";'),
    ("spark.hadoop.fs.s3a.secret.key = abc", "spark.hadoop.fs.s3a.secret.key = ***"),
    ("{'password': 'it\\'s', 'a': 1}", "{'password': '***', 'a': 1}"),
    ('{\\"token\\": \\"abc\\"}', '{\\"token\\": \\"***\\"}'),
    ("Authorization: Bearer abc", "Authorization: Bearer ***"),
    ("bearer abcdefghijklmnopqrst", "bearer ***"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
    ),
]
ORDINARY = [
    "http://host:8080/users/a@b",
    "https://[::1]:80/x@y",
    "abfss://container@account.dfs.core.windows.net/path",
    "file://C:/a@b",
    "kafka://h1:9092,h2:9092/x@y",
    "sorted(key=len)",
    "merge_keys=['a'] token_count=3",
    "token=None; password=true",
    "entities.password: Input should be a valid string",
    "password == other",
    "Basic understanding of internationalization",
]


@pytest.mark.parametrize(("text", "masked"), SHOWN)
def test_what_shows_by_its_form_is_masked(text: str, masked: str) -> None:
    redact = Redactor()
    assert redact(text) == masked
    assert redact(masked) == masked


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor()(text) == text


@pytest.mark.parametrize(
    ("setting", "secret"), [("Server=x;Pwd=my pass;User=y", "my pass"), ("db://u:my pass@h/d", "my pass")]
)
def test_a_password_in_a_setting_may_hold_spaces(setting: str, secret: str) -> None:
    assert secrets_in(setting) == [secret]
