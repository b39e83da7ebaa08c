"""Show a picture of the workspace to a model with vision: a screenshot that a test made, a plot, an icon.

The observation is text; the picture travels beside it, and the client puts it where an endpoint accepts images.
"""

from __future__ import annotations

import base64
import struct
from typing import NamedTuple

from ostro.tools.files import read_bytes, resolve, shorten
from ostro.tools.protocol import Observation, ObservedImage, Refused, Tool, ToolArgs, ToolContext

MAX_IMAGE_BYTES = 5 * 1024 * 1024
"""Mistral takes up to 20 MB an image; a screenshot is far below this, and base64 adds a third."""

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, 0xFF, *range(0xD0, 0xD9)})


class ViewImageArgs(ToolArgs):
    """Arguments of `view_image`."""

    path: str


class ImageInfo(NamedTuple):
    """What the header of a picture says; sizes in pixels."""

    media_type: str
    width: int
    height: int


def run_view_image(args: ViewImageArgs, context: ToolContext) -> Observation:
    """Return the picture at a path.

    Raises:
        SandboxError: the sandbox is gone; a missing or unusable picture is an Observation.
    """
    try:
        return _show(resolve(args.path, context), context)
    except Refused as refusal:
        text = str(refusal)
    except IsADirectoryError:
        text = f"{args.path} is a directory; give the path of a picture."
    return Observation(text=text, ok=False, data={"path": args.path})


def _show(path: str, context: ToolContext) -> Observation:
    data, shown = read_bytes(path, context), shorten(path, context)
    info = image_info(data)
    if info is None:
        raise Refused(f"{shown} is no PNG, JPEG, GIF or WebP picture. Convert it with bash, or view its text.")
    if len(data) > MAX_IMAGE_BYTES:
        raise Refused(f"{shown} has {len(data)} bytes; at most {MAX_IMAGE_BYTES} can be shown. Make it smaller.")
    image = ObservedImage(
        media_type=info.media_type,
        data_base64=base64.b64encode(data).decode("ascii"),
        width=info.width,
        height=info.height,
    )
    text = f"{shown}: {info.media_type}, {info.width} x {info.height} pixels. The picture follows."
    return Observation(text=text, images=(image,), data={"path": path})


def image_info(data: bytes) -> ImageInfo | None:
    """Return type and size of a picture from its header, None when it is of no type that models take."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return ImageInfo("image/png", *struct.unpack(">II", data[16:24]))
    if data[:6] in {b"GIF87a", b"GIF89a"} and len(data) >= 10:
        return ImageInfo("image/gif", *struct.unpack("<HH", data[6:10]))
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    return None


def _jpeg(data: bytes) -> ImageInfo | None:
    """Walk the segments up to the frame header (ITU T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return ImageInfo("image/jpeg", width, height)
        if marker in _JPEG_BARE:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp(data: bytes) -> ImageInfo | None:
    """Read the size from the first chunk (RFC 9649): lossy, lossless or extended."""
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return ImageInfo("image/webp", width & 0x3FFF, height & 0x3FFF)
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return ImageInfo("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8X":
        width, height = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        return ImageInfo("image/webp", width, height)
    return None


VIEW_IMAGE = Tool(name="view_image", args=ViewImageArgs, run=run_view_image, read_only=True)
