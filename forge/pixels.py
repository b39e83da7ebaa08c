"""Type and size of a picture, read from its first bytes, and shrinking where the extra `vision` is installed."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

from ostro.forge.protocol import FetchedImage, ImageType

LONGEST_SIDE = 1024
"""A larger picture costs tokens without telling the model more."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # ITU T.81, table B.1
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


def measured(data: bytes) -> tuple[ImageType, int, int] | None:
    """Return media type, width and height; None for anything but PNG, JPEG, GIF and WebP."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            return "image/png", *struct.unpack(">II", data[16:24])
        if data.startswith((b"GIF87a", b"GIF89a")):
            return "image/gif", *struct.unpack("<HH", data[6:10])
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except struct.error:  # cut off in its header
        return None
    return None


def shrunk(image: FetchedImage) -> FetchedImage:
    """Return the picture with its longest side at most `LONGEST_SIDE`, as PNG; unchanged without Pillow."""
    if max(image.width, image.height) <= LONGEST_SIDE:
        return image
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        return image
    scale = LONGEST_SIDE / max(image.width, image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(image.data), formats=["PNG", "JPEG", "GIF", "WEBP"]) as picture:
            picture.convert("RGBA").resize(size).save(out, "PNG")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return image  # its header was right; whether the rest is, the model's server will say
    return replace(image, media_type="image/png", data=out.getvalue(), width=size[0], height=size[1])


def _jpeg(data: bytes) -> tuple[ImageType, int, int] | None:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return "image/jpeg", width, height
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _webp(data: bytes) -> tuple[ImageType, int, int] | None:
    """Read the size as in RFC 9649: lossy, lossless and extended files keep it in three places."""
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        return "image/webp", width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = struct.unpack("<I", data[21:25])
        return "image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(data) >= 30:
        return "image/webp", int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None
