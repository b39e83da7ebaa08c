"""Known secret values are replaced once, before anything enters the history; nothing is guessed from formats here.

Model, log, replay and resume so see the same text, and an edit of a file that holds a look-alike still works.

A random value, as keys are, is found in every encoding that depends on nothing but the value (`forms`), whatever stands
between its characters, and in pieces of half its length. To be quick whatever the number of secrets and encodings, a
text is squeezed to lower-case letters and digits, and only every eighth position is looked up in a table. A value that
could be an ordinary word is found as it is written, and in its usual encodings. What is compressed, encrypted or coded
twice is not found: the sandbox holds no secret in the first place.
"""

from __future__ import annotations

import base64
import codecs
import math
import os
import re
import string
import sys
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, JsonValue

ModelT = TypeVar("ModelT", bound=BaseModel)

MIN_SECRET_CHARS = 8
"""A shorter value would blank out ordinary words."""

STAND_IN = "[redacted]"

SECRET_NAME = re.compile(r"(?:API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_KEY)", re.IGNORECASE)
"""Names of environment variables whose values are secrets."""

RANDOM_CHARS = 16
RANDOM_BITS = 3.0
"""Letters and digits, and bits a character, from which a value counts as random."""

MOST_NEEDED_CHARS = 256
"""So much of a very long value is enough; what many values of a kind share (a JWT's head) is shorter."""

_GRAM = 8
_BLOCK = 2 * _GRAM - 1
"""A stretch of this length holds one gram at a multiple of `_GRAM`, wherever it starts."""

_ADDED = re.compile(rb"^(?:\+|diff --git |rename |copy |Binary files |--- ).*", re.MULTILINE)
_KEPT = re.compile(rb"[A-Za-z0-9]")
_LOWER = bytes(range(256)).lower()
_DROPPED = bytes(set(range(256)) - set((string.ascii_letters + string.digits).encode()))


@dataclass(frozen=True)
class _Form:
    """One encoding of one secret, squeezed; `needed` characters of it in a row are a find."""

    text: bytes
    needed: int


class Redactor:
    """Replaces the secrets it was given, and their encodings, with `STAND_IN`.

    Usage:
        redact = Redactor(secrets_of(os.environ))
        safe = redact(text)
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret.strip() for secret in secrets if len(secret.strip()) >= MIN_SECRET_CHARS}
        random = {secret for secret in known if _is_random(secret)}
        exact = {form for secret in known - random for form in encodings(secret) if len(form) >= MIN_SECRET_CHARS}
        self._exact = sorted(exact, key=len, reverse=True)
        self._grams: dict[int, list[tuple[_Form, int]]] = {}
        for form in {form for secret in random for form in forms(secret)}:
            self._index(form)

    def __call__(self, text: str) -> str:
        """Return `text` without any known secret."""
        for form in self._exact:
            if form in text:
                text = text.replace(form, STAND_IN)
        data = text.encode("utf-8", "surrogatepass")
        spans = self._spans(data)
        return _without(data, spans) if spans else text

    def mask(self, patch: bytes) -> bytes:
        """Return a patch whose added lines and file names hold an `x` for each letter and digit of a known secret.

        Number and kind of the lines stay, so that it still applies.
        """
        found = [form.encode() for form in self._exact if form.encode() in patch]
        spans = [match.span() for form in found for match in re.finditer(re.escape(form), patch)]
        masked = bytearray(patch)
        for start, end in spans + self._spans(patch):
            for match in _ADDED.finditer(patch, patch.rfind(b"\n", 0, start) + 1, end):
                first = max(start, match.start())
                masked[first : match.end()] = _KEPT.sub(b"x", patch[first : match.end()])
        return bytes(masked)

    def finds(self, data: bytes) -> bool:
        """Whether `data` holds a known secret."""
        return any(form.encode() in data for form in self._exact) or bool(self._spans(data))

    def _index(self, form: bytes) -> None:
        needed = min(max(_BLOCK, len(form) // 2), MOST_NEEDED_CHARS)
        if len(form) < _BLOCK:
            return
        known = _Form(form, needed)
        last = len(form) - _BLOCK
        # Any stretch of `needed` characters holds one of these blocks as a whole.
        for start in {*range(0, last, needed - _BLOCK + 1), last}:
            for offset in range(start, start + _GRAM):
                gram = int.from_bytes(form[offset : offset + _GRAM], sys.byteorder)
                self._grams.setdefault(gram, []).append((known, offset))

    def _spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where in `data` secrets stand, merged, in order."""
        squeezed = data.translate(_LOWER, _DROPPED)
        words = memoryview(squeezed)[: len(squeezed) // _GRAM * _GRAM].cast("Q")
        if self._grams.keys().isdisjoint(words):
            return []
        found = sorted(set(self._stretches(squeezed, words)))
        if not found:
            return []
        places = [at for at, byte in enumerate(data) if byte not in _DROPPED]
        return _merged((places[start], places[end - 1] + 1) for start, end in found)

    def _stretches(self, squeezed: bytes, words: memoryview[int]) -> Iterator[tuple[int, int]]:
        for index, word in enumerate(words):
            for form, offset in self._grams.get(word, ()):
                start, end = _extended(squeezed, index * _GRAM, form.text, offset)
                if end - start >= form.needed:
                    yield start, end


def _extended(squeezed: bytes, at: int, form: bytes, offset: int) -> tuple[int, int]:
    """Return the longest stretch around `at` that equals the form around `offset`."""
    left = right = 0
    while left < min(at, offset) and squeezed[at - left - 1] == form[offset - left - 1]:
        left += 1
    longest = min(len(squeezed) - at, len(form) - offset)
    while right < longest and squeezed[at + right] == form[offset + right]:
        right += 1
    return at - left, at + right


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(data: bytes, spans: list[tuple[int, int]]) -> str:
    parts: list[bytes] = []
    at = 0
    for start, end in spans:
        parts += [data[at:start], STAND_IN.encode()]
        at = end
    return b"".join([*parts, data[at:]]).decode("utf-8", "surrogatepass")


def _is_random(value: str) -> bool:
    squeezed = _squeeze(value)
    if len(squeezed) < RANDOM_CHARS or squeezed.isalpha() or squeezed.isdigit() or value.startswith(("/", "http")):
        return False
    total = len(squeezed)
    return -sum(n / total * math.log2(n / total) for n in Counter(squeezed).values()) >= RANDOM_BITS


def _squeeze(text: str | bytes) -> bytes:
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return data.translate(_LOWER, _DROPPED)


def forms(secret: str) -> set[bytes]:
    """Return the encodings of a value, squeezed to lower-case letters and digits.

    As it is, reversed, rot13; URL-encoded and JSON-escaped; hex, octal and decimal bytes with or without escapes;
    base64 (both alphabets) and base32 at every alignment; and UTF-16 in hex and base64. Case, punctuation and line
    breaks do not matter. UTF-16 is little-endian without its last byte: so big-endian UTF-16 holds it as well.
    """
    raw = secret.encode("utf-8", "replace")
    wide = secret.encode("utf-16-le", "replace")[:-1]
    texts = {secret, secret[::-1], codecs.encode(secret, "rot13"), urllib.parse.quote(secret, safe="")}
    texts |= {secret.replace("\n", "\\n"), "".join(f"x{byte:02x}" for byte in raw)}
    texts |= {"".join(f"u{unit:04x}" for unit in map(ord, secret)), raw.hex(), wide.hex()}
    texts |= {"".join(f"{byte:03o}" for byte in raw), "".join(map(str, raw))}
    for plain in (raw, wide):
        texts |= {_core(plain, base64.b64encode, shift, bits=6) for shift in range(3)}
    texts |= {_core(raw, base64.b32encode, shift, bits=5) for shift in range(5)}
    return {_squeeze(text) for text in texts}


def encodings(secret: str) -> set[str]:
    """Return the ways in which a value commonly leaks: as it is, reversed, base64, hex and URL-encoded."""
    raw = secret.encode("utf-8", "replace")
    found = {secret, secret[::-1], raw.hex(), raw.hex().upper(), urllib.parse.quote(secret, safe="")}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found |= {_core(raw, encode, shift, bits=6) for shift in range(3)}
    return found


def _core(raw: bytes, encode: Callable[[bytes], bytes], shift: int, *, bits: int) -> str:
    """Return the part of an encoding that does not depend on what stands `shift` bytes before and behind the value."""
    encoded = encode(b"\0" * shift + raw).decode("ascii").rstrip("=")
    return encoded[(shift * 8 + bits - 1) // bits : len(encoded) - 1]


def secrets_of(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the values of variables whose names say that they are secret."""
    return [value for name, value in environment.items() if SECRET_NAME.search(name) and value]


def redacted(model: ModelT, redact: Callable[[str], str]) -> ModelT:
    """Return a copy of a frozen model in which every text is redacted."""
    return model.model_validate(redact_json(model.model_dump(mode="json"), redact))


def redact_json(value: JsonValue, redact: Callable[[str], str]) -> JsonValue:
    """Return a JSON value with every text in it redacted, the keys of objects too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redact_json(item, redact) for item in value]
    if isinstance(value, dict):
        return {redact(key): redact_json(item, redact) for key, item in value.items()}
    return value
