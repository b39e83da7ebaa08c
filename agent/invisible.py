"""Characters that a person does not see, as data: what to drop, and the few places where they belong.

For agent/untrusted.py. Ranges from the Unicode Character Database 15.1 (general category Cf, Default_Ignorable_
Code_Point, Variation_Selector, Bidi_Control); a test compares them with `unicodedata`.
"""

from __future__ import annotations

import re
from typing import Literal

InvisibleKind = Literal["ansi", "control", "bidi", "tag", "variation_selector", "invisible"]

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
TAGS = "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
VARIATION = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u180b-\u180d\u180f"
CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff\u2028\u2029"
OTHER = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200d\u2060-\u2065\u206a-\u206f\u2800\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)

PRIVATE_USE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]++")
"""No meaning that two people share; dropped outside of code, where a font may give them a shape."""

VISIBLE_FORMAT = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Of category Cf but drawn: signs that enclose the digits after them. They stay."""

_EMOJI = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_TONE = "[\U0001f3fb-\U0001f3ff]"
_UNIT = f"{_EMOJI}(?:\ufe0f|\ufe0e|{_TONE})?"
_JOINED = "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1820-\u18aa\ufb50-\ufdff\ufe70-\ufefc"
"""Blocks of the scripts in which a joiner or non-joiner changes how letters are drawn."""

_VIRAMA = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u103a\u17d2"
"""Signs behind which a joiner may end a word (RFC 5892, appendix A)."""


def _flag(region: str) -> str:
    return "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"


_KEPT = "|".join(
    [
        *map(_flag, ("gbeng", "gbsct", "gbwls")),  # the only flags of this kind that are in use (emoji 15.1)
        "[0-9#*]\ufe0f?\u20e3",
        f"{_UNIT}(?:\u200d{_UNIT})*",
        f"(?<=[{_VIRAMA}])[\u200c\u200d]",
        f"(?<=[{_JOINED}])[\u200c\u200d](?=[{_JOINED}])",
    ]
)
_ANSI = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]"

PATTERN = re.compile(f"(?P<kept>{_KEPT})|(?P<ansi>{_ANSI})|(?P<drop>[{CONTROL}{BIDI}{TAGS}{VARIATION}{OTHER}])")
"""Matches every place to look at: group `kept` stays, `ansi` (a terminal's escape sequence) and `drop` go."""

LINE_BREAKS = "\x0b\x0c\x85\u2028\u2029"
"""Dropped too, but a line feed takes their place."""

_KINDS: tuple[tuple[InvisibleKind, re.Pattern[str]], ...] = (
    ("control", re.compile(f"[{CONTROL}]")),
    ("bidi", re.compile(f"[{BIDI}]")),
    ("tag", re.compile(f"[{TAGS}]")),
    ("variation_selector", re.compile(f"[{VARIATION}]")),
)


def kind_of(char: str) -> InvisibleKind:
    """Return what kind of invisible a dropped character is."""
    for kind, pattern in _KINDS:
        if pattern.match(char):
            return kind
    return "invisible"
