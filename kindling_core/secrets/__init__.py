"""Keeps secrets out of everything that is printed, logged, stored or sent.

``names`` says which names are those of secrets, ``forms`` finds secrets that a text shows by their form,
``spellings`` undoes the ways in which a text may write a secret, and ``redactor`` masks.
"""

from kindling_core.secrets.forms import secrets_in
from kindling_core.secrets.names import is_secret_name, is_secret_variable, secrets_of_environment
from kindling_core.secrets.redactor import MASK, Redactor, describe_error, redacted

__all__ = [
    "MASK",
    "Redactor",
    "describe_error",
    "is_secret_name",
    "is_secret_variable",
    "redacted",
    "secrets_in",
    "secrets_of_environment",
]
