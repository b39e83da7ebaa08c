"""How many tokens a text has, without a tokenizer: an estimate that sees digits, names and runs of marks.

Tekken, the tokenizer of the Devstral family, spends one token on every digit, so characters divided by a constant
are wrong by half on listings, lock files and hashes, in the dangerous direction. The weights below are least-squares
fits on 1,700 pieces of source, diffs, listings, search results, JSON, TOML, prose and hexadecimal; 95 % of the
pieces of every kind lie within 14 % (tests/agent/model/test_tokens.py checks it against the real vocabulary).
"""

from __future__ import annotations

import functools
import re
from collections import Counter

_WORD = re.compile(r"[A-ZÀ-ÖØ-Þ]*[a-zß-öø-ÿ]+|[A-ZÀ-ÖØ-Þ]+")
_HARD = re.compile(r"[^aeiouyAEIOUY]{3,}")
_MARKS = re.compile(r"(?:[^\s\w\0]|_)+[\r\n/]*")
_MARK_BEFORE_WORD = re.compile(r"(?:[^\s\w\0]|_)\0")
_SPACE = re.compile(r"\s*[\r\n]+|[^\S\r\n]{2,}| (?=\d)")
_LETTERS_IN_NUMBER = re.compile(r"(?<=\d)[A-Za-z]+(?=\d)")
_TWO_BYTES = re.compile("[\u0100-\u07ff]")
_THREE_BYTES = re.compile("[\u0800-\U0010ffff]")

_BY_LENGTH = (0.0, 1.035, 1.035, 0.973, 1.113, 0.938, 0.715, 0.753, 1.37, 1.862, 1.862)
"""Tokens of a word of so many letters."""
_LONG_WORD = 2.487
_LETTER_BEYOND_TEN = 0.079
_HARD_LETTER = 0.348
"""More for each letter of a run without a vowel, from the third: abbreviations are not in a vocabulary."""
_CAPITALS, _CAPITAL_LETTER, _CAPITALISED, _MIXED = -0.108, 0.179, -0.038, 3.311
_DIGIT = 1.335
_LETTERS_BETWEEN_DIGITS = -0.536
_RUN_OF_MARKS = (0.0, 0.809, 1.62, 0.289, 1.726)
_REPEATED_MARK, _MARK_BEYOND_FOUR, _JOINED_MARK = 2.414, -0.018, -0.56
_NEWLINE, _INDENT, _SPACE_BEFORE_DIGIT = 0.244, 1.535, 0.141
_TWO_BYTE_CHAR, _THREE_BYTE_CHAR = 0.301, 0.586


def estimate(text: str) -> int:
    """Return about how many tokens the text has; 0 for an empty one."""
    words = sum(_word(word) * times for word, times in Counter(_WORD.findall(text)).items())
    rest = _WORD.sub("\0", text)
    total = words + _of_marks(rest) + _of_space(text) + _DIGIT * sum(map(rest.count, "0123456789"))
    total += _LETTERS_BETWEEN_DIGITS * len(_LETTERS_IN_NUMBER.findall(text))
    if not text.isascii():
        total += _TWO_BYTE_CHAR * len(_TWO_BYTES.findall(text)) + _THREE_BYTE_CHAR * len(_THREE_BYTES.findall(text))
    return max(1, round(total)) if text else 0


@functools.lru_cache(maxsize=20_000)
def _word(word: str) -> float:
    length = len(word)
    cost = _LONG_WORD + _LETTER_BEYOND_TEN * (length - 10) if length > 10 else _BY_LENGTH[length]
    cost += _HARD_LETTER * sum(len(run) - 2 for run in _HARD.findall(word))
    if length == 1 or word.islower():
        return cost
    if word.isupper():
        return cost + _CAPITALS + _CAPITAL_LETTER * length
    return cost + (_CAPITALISED if word[1:].islower() else _MIXED)


def _of_marks(rest: str) -> float:
    total = _JOINED_MARK * len(_MARK_BEFORE_WORD.findall(rest))
    for run, times in Counter(_MARKS.findall(rest)).items():
        if len(run) <= 4:
            cost = _RUN_OF_MARKS[len(run)]
        elif len(set(run.rstrip("\r\n/"))) <= 1:
            cost = _REPEATED_MARK
        else:
            cost = _RUN_OF_MARKS[4] + _MARK_BEYOND_FOUR * (len(run) - 4)
        total += cost * times
    return total


def _of_space(text: str) -> float:
    total = 0.0
    for space, times in Counter(_SPACE.findall(text)).items():
        if "\n" in space or "\r" in space:
            total += _NEWLINE * times
        else:
            total += (_SPACE_BEFORE_DIGIT if space == " " else _INDENT) * times
    return total
