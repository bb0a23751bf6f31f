from __future__ import annotations

import pytest

from kindling_core.secrets import is_secret_name, is_secret_variable

SECRET = """
key account.key access.key access_key AccountKey ACCOUNT-KEY apiKey APIKEY api_keys private.key access_key_id
fs.azure.account.key.x.dfs.core.windows.net spark.hadoop.fs.s3a.secret.key fs.azure.sas.c.account sharedAccessKey
spark.hadoop.fs.azure.account.oauth2.client.secret.x.dfs.core.windows.net spark.ssl.keyPassword
pwd DB_PWD dbpwd password PassWord userpassword passphrase pass db_pass token token2 access_token tokens jwt
connection_string connectionString connStr credential credentials.user sas sas_token authorization api_key_1
"""
ORDINARY = """
merge_keys key_columns primary_key primary.key keys monkey keyboard turkey token_count max_tokens tokenizer sort.key
tokens_per_minute password_file credentials.provider kafka.key.serializer spark.ssl.keyStore passwordless secretary
first_pass compass kansas token_url key_id partition.keys entities.root secret_token_count token_ttl_seconds
"""


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ORDINARY.split())
def test_names_that_only_look_like_those_of_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_the_working_directory_is_no_secret() -> None:
    assert not is_secret_variable("PWD")
    assert not is_secret_variable("OLDPWD")
    assert is_secret_variable("DB_PWD")
