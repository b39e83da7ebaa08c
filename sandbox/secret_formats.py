"""Formats of well-known secrets, so that one that slipped into a patch or a text can be pointed out.

For sandbox/policy.py and whatever publishes, never on the way in: an edit of a file with look-alikes must work. Formats
with a fixed mark, and random values that are assigned to a telling name: entropy alone would flag every lock file.
Sources: the issuers' own documentation of their token formats, and RFC 7468 for private keys.
"""

from __future__ import annotations

import math
import re
from collections import Counter

SECRET_FORMATS: dict[str, re.Pattern[bytes]] = {
    "private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "GitHub token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b"),
    "GitLab token": re.compile(rb"\bglpat-[A-Za-z0-9_-]{20,}"),
    "AWS access key": re.compile(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "Google API key": re.compile(rb"\bAIza[A-Za-z0-9_-]{35}\b"),
    "Slack token": re.compile(rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "Slack webhook": re.compile(rb"https://hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]+"),
    "Stripe key": re.compile(rb"\b[rs]k_live_[A-Za-z0-9]{16,}\b"),
    "Anthropic key": re.compile(rb"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    "OpenRouter key": re.compile(rb"\bsk-or-v1-[0-9a-f]{32,}"),
    "OpenAI key": re.compile(rb"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{40,}"),
    "npm token": re.compile(rb"\bnpm_[A-Za-z0-9]{36}\b"),
    "PyPI token": re.compile(rb"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    "Hugging Face token": re.compile(rb"\bhf_[A-Za-z]{34}\b"),
    "JSON web token": re.compile(rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "password in a URL": re.compile(rb"\b[a-z][a-z0-9+.-]{1,15}://[^\s/:@'\"<>{}$]{1,64}:[^\s/:@'\"<>{}$]{8,}@[\w.-]+"),
}


ASSIGNED = "random value of a secret's name"
RANDOM_BITS = 3.6
"""Bits a character: names and sentences have fewer, random base64 of this length has more than 4."""

_ASSIGNMENT = re.compile(
    rb"(?i:(?:api|access|auth|secret|private|signing|encryption|client)[_-]?(?:key|token|secret)|passw(?:or)?d|_token|_secret)"
    rb"[\"']?\s{0,8}[:=]{1,2}\s{0,8}[\"']?(?P<value>[A-Za-z0-9+/_=-]{24,200})(?![A-Za-z0-9+/_=.(\[-])"
)


def secrets_in(data: bytes) -> tuple[str, ...]:
    """Return the names of the formats that occur in `data`; never the secrets themselves."""
    found = tuple(name for name, pattern in SECRET_FORMATS.items() if pattern.search(data))
    return (*found, ASSIGNED) if any(_is_random(match["value"]) for match in _ASSIGNMENT.finditer(data)) else found


def _is_random(value: bytes) -> bool:
    """Whether a value has digits and both cases or is all hex, and more entropy than words have."""
    digits, upper = any(48 <= byte <= 57 for byte in value), value.lower() != value
    mixed = digits and (upper or re.fullmatch(rb"[0-9a-f]+", value) is not None)
    total = len(value)
    bits = -sum(count / total * math.log2(count / total) for count in Counter(value).values())
    return mixed and bits >= (RANDOM_BITS if upper else 3.0)
