"""Bounded capture: whatever the pieces, head, tail, size and file are those of the whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.output import Capture


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(0, 60), st.integers(0, 60))
def test_capture_when_fed_in_any_pieces_holds_both_ends(pieces: list[bytes], head: int, tail: int) -> None:
    capture = Capture(head_bytes=head, tail_bytes=tail)
    for piece in pieces:
        capture.add(piece)
    whole = b"".join(pieces)
    output = capture.finish()
    assert output.total_bytes == len(whole)
    assert output.head == whole[:head]
    assert output.tail == whole[head:][-tail:] * bool(tail)
    assert output.complete == (len(whole) <= head + tail)


@given(pieces=st.lists(st.binary(max_size=40), max_size=30), saved=st.integers(0, 300))
def test_capture_when_more_than_it_holds_saves_the_beginning(pieces: list[bytes], saved: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "new" / "output"
        capture = Capture(head_bytes=10, tail_bytes=20, spool=spool, saved_bytes=saved)
        for piece in pieces:
            capture.add(piece)
        whole = b"".join(pieces)
        output = capture.finish()
        assert (output.spool is None) == (len(whole) <= 30)
        if output.spool is not None:
            assert spool.read_bytes() == whole[:saved]


def test_capture_when_its_file_cannot_be_written_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    capture = Capture(head_bytes=1, tail_bytes=1, spool=tmp_path / "file" / "output")
    capture.add(b"abcdef")
    output = capture.finish()
    assert (output.head, output.tail, output.total_bytes, output.spool) == (b"a", b"f", 6, None)


def test_text_when_something_is_left_out_says_how_much() -> None:
    capture = Capture(head_bytes=3, tail_bytes=2)
    capture.add(b"abcdefgh\xff")
    assert capture.finish().text() == "abc\n[... 4 bytes left out ...]\nh\ufffd"
