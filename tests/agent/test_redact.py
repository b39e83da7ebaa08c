"""Known secrets never get in."""

from __future__ import annotations

import base64
import codecs
import json
import os
import time
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.record.redact import STAND_IN, Redactor, redact_json, secrets_of

SECRET = "sk-9f8e7d6c5b4a/+=canary-Q2xW"
RAW = SECRET.encode()


def lines(text: str, width: int) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


ENCODED = {
    "plain": SECRET,
    "reversed": SECRET[::-1],
    "upper case": SECRET.upper(),
    "rot13": codecs.encode(SECRET, "rot13"),
    "hex": RAW.hex(),
    "hex in capitals": RAW.hex().upper(),
    "hex with colons": RAW.hex(":"),
    "hex escapes": "".join(f"\\x{byte:02x}" for byte in RAW),
    "unicode escapes": "".join(f"\\u{byte:04x}" for byte in RAW),
    "octal escapes": "".join(f"\\{byte:03o}" for byte in RAW),
    "decimal bytes": ", ".join(map(str, RAW)),
    "URL": urllib.parse.quote(SECRET, safe=""),
    "every byte percent-encoded": "".join(f"%{byte:02X}" for byte in RAW),
    "HTML entities": "".join(f"&#x{byte:x};" for byte in RAW),
    "JSON": json.dumps(SECRET).replace("/", "\\/"),
    "base64": base64.b64encode(RAW).decode(),
    "base64 shifted by one": base64.b64encode(b"x" + RAW).decode(),
    "base64 shifted by two": base64.b64encode(b"xy" + RAW + b"tail").decode(),
    "base64 for URLs": base64.urlsafe_b64encode(RAW).decode(),
    "base64 in lines": lines(base64.b64encode(RAW).decode(), 7),
    "base32": base64.b32encode(b"abc" + RAW).decode(),
    "split over lines": lines(SECRET, 5),
    "one letter a line": lines(SECRET, 1),
    "UTF-16": RAW.decode().encode("utf-16-le").decode("utf-8", "replace"),
    "UTF-16 in base64": base64.b64encode(SECRET.encode("utf-16-le")).decode(),
    "UTF-16 big-endian in base64": base64.b64encode(SECRET.encode("utf-16-be")).decode(),
    "UTF-16 in hex": SECRET.encode("utf-16-be").hex(),
    "without its head": SECRET[7:],
    "without its tail": SECRET[:-7],
}


@pytest.mark.parametrize("name", ENCODED)
def test_redact_when_a_secret_is_encoded_then_nothing_of_use_is_left(name: str) -> None:
    form = ENCODED[name]
    redact = Redactor([SECRET])
    redacted = redact(f"## {form} ##")
    assert STAND_IN in redacted
    assert redacted.startswith("## ")
    assert redacted.endswith(" ##")
    assert len(redacted) <= len(f"## {STAND_IN} ##") + 12  # the edges of a base64 text belong to its neighbours
    assert redact.finds(form.encode())
    assert redact(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        'API_KEY = "sk-0000000000000000000000000000"',
        SECRET[:12],
        "sk-9f8e7d6c5b4b/+=binary-Q2xW",
        base64.b64encode(b"canary" * 9).decode(),
    ],
)
def test_redact_when_text_only_looks_like_a_secret_then_it_is_untouched(text: str) -> None:
    assert Redactor([SECRET])(text) == text


def test_redact_when_values_of_a_kind_share_their_head_then_another_one_is_untouched() -> None:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    own = f"{head}.{base64.urlsafe_b64encode(os.urandom(120)).decode()}"
    other = f"{head}.{base64.urlsafe_b64encode(os.urandom(120)).decode()}"
    assert Redactor([own])(f"a {other} b") == f"a {other} b"
    assert Redactor([own])(f"a {own} b").startswith(f"a {STAND_IN}")


@pytest.mark.parametrize("value", ["test", "postgres", "/run/secrets/postgres/token1", "correct horse battery"])
def test_redact_when_a_value_could_be_ordinary_then_only_itself_is_replaced(value: str) -> None:
    text = "run the TEST of post-gres below /run/secrets/postgres and correct the horse"
    expected = text if value != "postgres" else text.replace("postgres", STAND_IN)
    assert Redactor([value])(text) == expected


@given(st.text(), st.text(), st.integers(0, 2))
def test_redact_when_a_secret_stands_anywhere_then_it_is_gone_and_the_rest_stays(
    before: str, after: str, shift: int
) -> None:
    redact = Redactor([SECRET])
    assert redact(f"{before}\n{SECRET}\n{after}") == f"{before}\n{STAND_IN}\n{after}"
    encoded = base64.b64encode(b"x" * shift + RAW + after.encode("utf-8", "replace")).decode()
    assert redact.finds(encoded.encode())


@given(st.text())
def test_redact_when_no_secret_is_in_it_then_the_text_is_the_same(text: str) -> None:
    assert Redactor([SECRET, "another-password"])(text) == text


def test_redact_when_there_are_no_secrets_then_the_text_is_the_same() -> None:
    assert Redactor([])("text") == "text"


def test_redact_when_an_output_is_large_then_it_costs_little_time() -> None:
    secrets = ["sk-ant-" + base64.urlsafe_b64encode(os.urandom(60)).decode() for _ in range(5)]
    redact = Redactor(secrets)
    text = base64.encodebytes(os.urandom(740_000)).decode()
    started = time.process_time()
    assert redact(text) == text
    assert time.process_time() - started < 1


def test_redact_json_when_texts_are_nested_then_all_are_redacted() -> None:
    found = redact_json({SECRET: [SECRET, {"a": f"x {SECRET}"}], "n": 1, "none": None}, Redactor([SECRET]))
    assert found == {STAND_IN: [STAND_IN, {"a": f"x {STAND_IN}"}], "n": 1, "none": None}


def test_secrets_of_when_names_say_so_then_only_those_values() -> None:
    environment = {"OPENAI_API_KEY": "k1", "GITHUB_TOKEN": "k2", "HOME": "/root", "PATH": "/bin", "DB_PASSWORD": "k3"}
    assert sorted(secrets_of(environment)) == ["k1", "k2", "k3"]


PATCH = f"""diff --git a/{SECRET[:9]}/{SECRET.replace("/", "")} b/x
--- a/x
+++ b/x
@@ -1,2 +1,4 @@
 key = "{SECRET}"
-old = "{SECRET}"
+new = "{SECRET}"
+{SECRET[:14]}
+{SECRET[14:]}
"""


def test_mask_when_a_patch_holds_a_secret_then_added_lines_lose_it_and_the_others_stay() -> None:
    redact = Redactor([SECRET])
    masked = redact.mask(PATCH.encode()).decode()
    before, after = PATCH.splitlines(), masked.splitlines()
    assert [line[:1] for line in after] == [line[:1] for line in before]
    assert after[1:6] == before[1:6]
    assert after[6] == '+new = "xx-xxxxxxxxxxxx/+=xxxxxx-xxxx"'
    assert not redact.finds("\n".join([after[0], *after[6:]]).encode())


@given(st.text())
def test_mask_when_there_is_nothing_to_hide_then_the_patch_is_the_same(text: str) -> None:
    assert Redactor([SECRET, "another-password"]).mask(text.encode()) == text.encode()


def test_mask_when_a_secret_is_a_plain_word_then_added_lines_lose_it() -> None:
    assert Redactor(["swordfish"]).mask(b" swordfish\n+a swordfish\n") == b" swordfish\n+a xxxxxxxxx\n"
