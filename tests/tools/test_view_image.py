"""Pictures: what their headers say, and how one is shown."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.tools.protocol import ToolContext
from ostro.tools.view_image import MAX_IMAGE_BYTES, ImageInfo, image_info
from tests.tools.conftest import Call


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xff\0\0" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


JPEG = (
    b"\xff\xd8"
    b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    b"\xff\xff"  # fill byte before a marker
    b"\xfe\x00\x04ab"
    b"\xff\xc0\x00\x11\x08\x00\x20\x00\x40\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"
)
WEBP_LOSSY = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 64, 32)
WEBP_LOSSLESS = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 63 | 31 << 14) + b"\0" * 8
WEBP_EXTENDED = b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0" + b"\x3f\0\0\x1f\0\0"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (png(64, 32), "image/png"),
        (b"GIF89a" + struct.pack("<HH", 64, 32), "image/gif"),
        (JPEG, "image/jpeg"),
        (WEBP_LOSSY, "image/webp"),
        (WEBP_LOSSLESS, "image/webp"),
        (WEBP_EXTENDED, "image/webp"),
    ],
)
def test_info_when_header_is_whole_then_gives_type_and_size(data: bytes, media_type: str) -> None:
    assert image_info(data) == ImageInfo(media_type, 64, 32)


@given(
    st.binary(max_size=60), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF89a", b"RIFF0000WEBPVP8X"])
)
def test_info_when_bytes_are_any_then_never_fails(data: bytes, head: bytes) -> None:
    info = image_info(head + data)
    assert info is None or info.width >= 0


def test_view_when_file_is_a_picture_then_it_travels_with_the_text(call: Call, context: ToolContext) -> None:
    data = png(64, 32)
    context.sandbox.write("plot.png", data)
    shown = call("view_image", path="plot.png")
    assert shown.text == "plot.png: image/png, 64 x 32 pixels. The picture follows."
    assert base64.b64decode(shown.images[0].data_base64) == data
    assert (shown.images[0].width, shown.images[0].height) == (64, 32)


def test_view_when_file_is_missing_no_picture_or_too_large_then_says_so(call: Call, context: ToolContext) -> None:
    context.sandbox.write("large.png", png(8, 8) + b"\0" * MAX_IMAGE_BYTES)
    assert "There is no file a.png." in call("view_image", path="a.png").text
    assert "is no PNG, JPEG, GIF or WebP" in call("view_image", path="README.md").text
    assert "is a directory" in call("view_image", path="src").text
    large = call("view_image", path="large.png")
    assert "Make it smaller" in large.text
    assert not large.images
