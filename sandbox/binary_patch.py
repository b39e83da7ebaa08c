"""How large the binary parts of a git patch are once unpacked, read without unpacking them.

For sandbox/policy.py: 8 MiB of patch can unpack to gigabytes, which `git apply` would hold in memory.
"""

from __future__ import annotations

import base64
import re
import zlib

_SECTION = re.compile(
    rb"^(?P<kind>literal|delta) (?P<size>[0-9]{1,18})\r?\n(?P<first>(?:[A-Za-z][^\s]{5,65}\r?\n){1,16})", re.MULTILINE
)
_HEADER = re.compile(rb"^(?:literal|delta) [0-9]", re.MULTILINE)
_HEAD_BYTES = 24
"""Two sizes of 63 bits in 7-bit groups stand at the front of a delta."""

UNKNOWN = 2**62
"""Larger than any limit: a section that cannot be read."""


def unpacked_bytes(patch: bytes) -> int:
    """Return how many bytes the binary sections unpack to, all together; `UNKNOWN` when one of them is malformed."""
    sections = list(_SECTION.finditer(patch))
    if len(sections) != len(_HEADER.findall(patch)):
        return UNKNOWN
    return sum(_size_of(section) for section in sections)


def _size_of(section: re.Match[bytes]) -> int:
    size = int(section["size"])
    if section["kind"] == b"literal":
        return size
    try:
        lines = section["first"].splitlines()
        packed = b"".join(base64.b85decode(line[1:])[: _length(line[:1])] for line in lines)
        head = zlib.decompressobj().decompress(packed, _HEAD_BYTES)
    except (ValueError, zlib.error):
        return UNKNOWN
    _, at = _varint(head, 0)
    result, _ = _varint(head, at)
    return size + result


def _length(mark: bytes) -> int:
    """Return how many bytes a line holds: A to Z are 1 to 26, a to z are 27 to 52 (git's apply.c)."""
    code = mark[0]
    return code - ord("A") + 1 if code <= ord("Z") else code - ord("a") + 27


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
    return UNKNOWN, at
