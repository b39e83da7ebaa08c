"""Known secret values are replaced once, before anything enters the history; nothing is guessed from formats here.

Model, log, replay and resume so see the same text, and an edit of a file that holds a look-alike still works.
"""

from __future__ import annotations

import base64
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping

MIN_SECRET_CHARS = 8
"""A shorter value would blank out ordinary words."""

STAND_IN = "[redacted]"

SECRET_NAME = re.compile(r"(?:API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_KEY)", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""


class Redactor:
    """Replaces the secrets it was given, and their usual encodings, with `STAND_IN`.

    Usage:
        redact = Redactor(secrets_of(os.environ))
        safe = redact(text)
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= MIN_SECRET_CHARS for form in encodings(secret)}
        ordered = sorted((form for form in forms if len(form) >= MIN_SECRET_CHARS), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Return `text` without any known secret."""
        return self._pattern.sub(STAND_IN, text) if self._pattern else text


def encodings(secret: str) -> set[str]:
    """Return the ways in which a value commonly leaks: as it is, reversed, base64, hex and URL-encoded."""
    raw = secret.encode()
    forms = {secret, secret[::-1], raw.hex(), raw.hex().upper(), urllib.parse.quote(secret, safe="")}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # the middle of a base64 text depends on where in the plain text the value starts
            encoded = encode(b"\0" * shift + raw).decode().rstrip("=")
            forms.add(encoded[(shift * 8 + 5) // 6 : len(encoded) - 1])
    return forms


def secrets_of(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the values of variables whose names say that they are secret."""
    return [value for name, value in environment.items() if SECRET_NAME.search(name) and value]
