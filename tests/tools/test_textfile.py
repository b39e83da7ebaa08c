"""Encoding, byte order mark and line endings survive every edit."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.tools.textfile import NotEncodableError, NotTextError, decode, displayable, line_of, split_lines

TEXTS = st.lists(st.sampled_from(["a", "b ", "é€", "\t", "\r\n", "\n"]), max_size=30).map("".join)


@given(TEXTS, st.sampled_from([b"", codecs.BOM_UTF8]), st.data())
def test_splice_when_applied_then_changes_only_the_replaced_part(text: str, bom: bytes, data: st.DataObject) -> None:
    raw = bom + text.encode()
    file = decode(raw)
    start = data.draw(st.integers(0, len(file.text)))
    end = data.draw(st.integers(start, len(file.text)))
    new = data.draw(st.text(alphabet="xé\n", max_size=10))
    splice = file.splice(start, end, new)
    assert splice.data[: splice.start] == raw[: splice.start]
    assert splice.data == raw[: splice.start] + splice.after + raw[splice.start + len(splice.before) :]
    assert raw[splice.start : splice.start + len(splice.before)] == splice.before
    assert decode(splice.data).text == file.text[:start] + new + file.text[end:]


@given(st.binary(max_size=80))
def test_decode_when_bytes_are_any_then_they_come_back_unchanged_or_are_refused(data: bytes) -> None:
    try:
        file = decode(data)
    except NotTextError:
        return
    assert file.bom + file.encode(file.raw) == data


def test_splice_when_file_has_crlf_then_new_lines_get_crlf() -> None:
    file = decode(b"a\r\nb\r\nc\r\n")
    assert file.text == "a\nb\nc\n"
    assert file.splice(2, 3, "x\ny").data == b"a\r\nx\r\ny\r\nc\r\n"


def test_splice_when_endings_are_mixed_then_each_old_line_keeps_its_own() -> None:
    file = decode(b"a\r\nb\nc\r\nd\n")
    assert file.splice(0, 8, "a\nB\nc\nD\n").data == b"a\r\nB\nc\r\nD\n"
    assert "mixed line endings" in file.peculiarity


def test_splice_when_last_line_of_a_crlf_file_is_replaced_then_uses_crlf() -> None:
    file = decode(b"a\r\nb")
    assert file.splice(2, 3, "x\ny").data == b"a\r\nx\r\ny"


def test_decode_when_file_is_latin_1_then_keeps_its_bytes_and_refuses_other_characters() -> None:
    file = decode("naïve = 'é'\n".encode("latin-1"))
    assert file.encoding == "latin-1"
    assert file.splice(0, 5, "naïf").data == "naïf = 'é'\n".encode("latin-1")
    with pytest.raises(NotEncodableError, match="Latin-1"):
        file.splice(0, 0, "€")


def test_decode_when_utf_8_has_a_bad_byte_then_keeps_it() -> None:
    raw = "größer, schöner: ".encode() + b"\xff!\n"
    file = decode(raw)
    assert file.keeps_bad_bytes
    assert displayable(file.text) == "größer, schöner: \ufffd!\n"
    assert file.splice(0, 1, "G").data == b"G" + raw[1:]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("ab".encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + "ab".encode("utf-16-be"), "UTF-16"),
        ("ab".encode("utf-32"), "UTF-32"),
        (b"\x7fELF\0\0", "binary"),
    ],
)
def test_decode_when_bytes_are_no_text_then_says_what_they_are(data: bytes, name: str) -> None:
    with pytest.raises(NotTextError, match=name):
        decode(data)


def test_splice_when_new_text_has_a_lone_surrogate_then_refuses() -> None:
    with pytest.raises(NotEncodableError, match="UTF-8"):
        decode(b"a\n").splice(0, 1, "\ud800")


@pytest.mark.parametrize(("text", "lines"), [("", []), ("a", ["a"]), ("a\n", ["a"]), ("a\n\n", ["a", ""])])
def test_split_lines_when_text_ends_with_a_newline_then_makes_no_empty_line(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines


def test_line_of_when_position_is_given_then_counts_from_one() -> None:
    assert [line_of("a\nb\n", position) for position in (0, 1, 2, 4)] == [1, 1, 2, 3]
