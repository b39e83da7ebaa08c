"""Known secrets never get in."""

from __future__ import annotations

import base64
import urllib.parse

import pytest

from ostro.agent.record.redact import STAND_IN, Redactor, secrets_of

SECRET = "sk-9f8e7d6c5b4a/+=canary"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET[::-1],
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        urllib.parse.quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"x" + SECRET.encode()).decode(),
        base64.b64encode(b"xy" + SECRET.encode() + b"tail").decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_redact_when_a_secret_is_encoded_then_its_body_is_gone(form: str) -> None:
    redacted = Redactor([SECRET])(f"before {form} after")
    assert STAND_IN in redacted
    assert redacted.startswith("before ")
    assert form[4:-4] not in redacted


def test_redact_when_text_only_looks_like_a_secret_then_it_is_untouched() -> None:
    text = 'API_KEY = "sk-0000000000000000000000000000"'
    assert Redactor([SECRET])(text) == text


def test_secrets_of_when_names_say_so_then_only_those_values() -> None:
    environment = {"OPENAI_API_KEY": "k1", "GITHUB_TOKEN": "k2", "HOME": "/root", "PATH": "/bin", "DB_PASSWORD": "k3"}
    assert sorted(secrets_of(environment)) == ["k1", "k2", "k3"]


def test_redact_when_a_value_is_short_then_words_survive() -> None:
    assert Redactor(["test"])("run the test") == "run the test"
