"""Records in a stream of output: found wherever the stream is cut, and nothing else is taken for one."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.records import LONGEST_RECORD, Record, Records

MARK = b"0123456789abcdef"

outputs = st.lists(st.one_of(st.binary(max_size=30), st.just(MARK[:7]), st.just(MARK[:15])), max_size=5).map(b"".join)
records = st.builds(
    Record,
    kind=st.sampled_from("hbekdafs"),
    step=st.text("0123456789abcdef", min_size=1, max_size=16),
    rest=st.binary(max_size=50).filter(lambda rest: MARK not in rest + MARK[:15]),
)


def wire(record: Record) -> bytes:
    return MARK + f"{record.kind} {record.step} ".encode() + record.rest + MARK + b"\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(edges)]


@given(
    st.lists(st.tuples(outputs.filter(lambda output: MARK not in output), records), max_size=6),
    outputs.filter(lambda output: MARK not in output),
    st.lists(st.integers(0, 1000), max_size=20),
)
def test_stream_when_cut_anywhere_gives_the_same_output_and_records(
    parts: list[tuple[bytes, Record]], last: bytes, places: list[int]
) -> None:
    stream = b"".join(output + wire(record) for output, record in parts) + last
    splitter = Records(MARK)
    found = [item for piece in cut(stream, places) for item in splitter.feed(piece)]
    assert [item for item in found if isinstance(item, Record)] == [record for _, record in parts]
    seen = b"".join(item for item in found if isinstance(item, bytes)) + splitter.flush()
    assert seen == b"".join(output for output, _ in parts) + last


def test_mark_when_no_record_follows_is_output_after_all() -> None:
    splitter = Records(MARK)
    stream = MARK + b"x" * (LONGEST_RECORD + 5)
    seen = b"".join(item for item in splitter.feed(stream) if isinstance(item, bytes))
    assert seen == stream
