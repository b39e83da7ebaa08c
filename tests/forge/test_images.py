"""Pictures of an issue: which addresses may be reached, and what their first bytes say."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.forge.images import fetch_images, image_urls, is_public_address
from ostro.forge.pixels import LONGEST_SIDE, measured, shrunk
from ostro.forge.protocol import FetchedImage, IssueLimits


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_is_public_address_when_it_is_not_then_false(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "address", ["140.82.121.4", "2606:50c0:8000::154", "::ffff:140.82.121.4", "64:ff9b::8c52:7904"]
)
def test_is_public_address_when_it_is_then_true(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a.png",
        "https://localhost/a.png",
        "https://[::1]/a.png",
        "https://2130706433/a.png",
        "https://0x7f.1/a.png",
        "https://169.254.169.254/latest/meta-data/",
        "http://140.82.121.4/a.png",
        "https://140.82.121.4:8443/a.png",
        "https:///a.png",
        "https://[broken/a.png",
        "https://user@127.0.0.1/a.png",
    ],
)
def test_fetch_images_when_the_address_is_not_fit_then_it_is_left_out_with_a_reason(url: str) -> None:
    images, told = fetch_images((url,), IssueLimits(timeout_s=2))
    assert images == ()
    assert len(told) == 1
    assert "cannot be reached" not in told[0]


def test_image_urls_when_there_are_several_forms_then_each_is_found_once_and_code_is_not() -> None:
    text = """![a](https://x/1.png "title") <IMG alt=x SRC="https://x/2.png">
[![b](https://x/3.png)](https://link) ![again](https://x/1.png) ![local](./4.png) ![s](<https://x/5 5.png>)
```
![no](https://x/code.png)
```
<!-- ![no](https://x/comment.png) --> `![no](https://x/span.png)` ![](data:image/png;base64,AAAA)
"""
    assert image_urls(text) == ("https://x/1.png", "https://x/2.png", "https://x/3.png", "https://x/5")


JPEG = (
    b"\xff\xd8\xff\xe0"
    + struct.pack(">H", 16)
    + b"JFIF\0"
    + b"\0" * 9
    + b"\xff\xc2"
    + struct.pack(">HBHH", 17, 8, 40, 60)
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 3, 4), ("image/png", 3, 4)),
        (b"GIF89a" + struct.pack("<HH", 5, 6), ("image/gif", 5, 6)),
        (JPEG, ("image/jpeg", 60, 40)),
        (JPEG[:2] + b"\xff\xff" + JPEG[3:], ("image/jpeg", 60, 40)),
        (b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\x09\0\0\x07\0\0", ("image/webp", 10, 8)),
        (b"RIFF\0\0\0\0WEBPVP8L" + b"\0" * 4 + b"\x2f" + struct.pack("<I", 9 | 7 << 14), ("image/webp", 10, 8)),
        (b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 7 + b"\x9d\x01\x2a" + struct.pack("<HH", 10, 8), ("image/webp", 10, 8)),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"", None),
    ],
)
def test_measured_when_given_a_header_then_type_and_size(data: bytes, expected: object) -> None:
    assert measured(data) == expected


@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 "]),
    st.binary(),
)
def test_measured_when_the_rest_is_noise_then_it_never_fails(start: bytes, rest: bytes) -> None:
    size = measured(start + rest)
    assert size is None or len(size) == 3


def test_shrunk_when_larger_than_useful_then_it_fits() -> None:
    pillow = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    pillow.new("RGB", (3000, 1500), "red").save(out, "JPEG")
    image = FetchedImage(url="u", media_type="image/jpeg", data=out.getvalue(), width=3000, height=1500)

    small = shrunk(image)

    assert (small.media_type, small.width, small.height) == ("image/png", LONGEST_SIDE, LONGEST_SIDE // 2)
    assert measured(small.data) == ("image/png", LONGEST_SIDE, LONGEST_SIDE // 2)


def test_shrunk_when_the_rest_is_broken_then_it_stays_as_it_is() -> None:
    data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 3000, 10) + b"garbage"
    image = FetchedImage(url="u", media_type="image/png", data=data, width=3000, height=10)
    assert shrunk(image) == image
