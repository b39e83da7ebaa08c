"""Formats of well-known secrets, so that one that slipped into a patch or a text can be pointed out.

For sandbox/policy.py and whatever publishes. Only formats with a fixed mark: entropy would flag every lock file.
Sources: the issuers' own documentation of their token formats, and RFC 7468 for private keys.
"""

from __future__ import annotations

import re

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


def secrets_in(data: bytes) -> tuple[str, ...]:
    """Return the names of the formats that occur in `data`; never the secrets themselves."""
    return tuple(name for name, pattern in SECRET_FORMATS.items() if pattern.search(data))
