"""The event log: durable, chained, readable after a crash."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ostro.agent.errors import StorageError
from ostro.agent.record.events import Event, Noted
from ostro.agent.record.trajectory import TrajectoryError, TrajectoryWriter, read_events


def write_three(path: Path) -> None:
    with TrajectoryWriter(path) as log:
        for number in range(3):
            log.write(Noted(kind="test", text=f'note {number} with "sum":" inside'))


def texts(path: Path) -> list[str]:
    return [event.text for event in read_events(path) if isinstance(event, Noted)]


def test_write_then_read_gives_the_same_events_in_order(tmp_path: Path) -> None:
    heard: list[Event] = []
    with TrajectoryWriter(tmp_path / "t.jsonl", heard.append) as log:
        written = [log.write(Noted(kind="a", text="1")), log.write(Noted(kind="b", text="2"))]
    assert list(read_events(tmp_path / "t.jsonl")) == written == heard
    assert [event.seq for event in written] == [0, 1]


def test_read_when_the_last_line_is_torn_at_any_byte_then_the_earlier_ones_remain(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_three(path)
    whole = path.read_bytes()
    start_of_last = whole[:-1].rfind(b"\n") + 1
    for end in range(start_of_last, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert len(texts(path)) == 2


def test_read_when_a_byte_in_the_middle_is_flipped_then_the_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_three(path)
    path.write_bytes(path.read_bytes().replace(b"note 1", b"note X"))
    with pytest.raises(TrajectoryError, match="line 2"):
        texts(path)


def test_read_when_a_line_is_removed_then_the_chain_breaks(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_three(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2] + b"{}\n")
    with pytest.raises(TrajectoryError, match="line 2"):
        texts(path)


def test_open_when_another_writer_holds_the_log_then_refused(tmp_path: Path) -> None:
    with TrajectoryWriter(tmp_path / "t.jsonl"), pytest.raises(StorageError, match="another process"):
        TrajectoryWriter(tmp_path / "t.jsonl")


def test_reopen_when_appended_then_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_three(path)
    with TrajectoryWriter.reopen(path) as log:
        assert log.write(Noted(kind="test", text="later")).seq == 3
    assert texts(path)[-1] == "later"


def test_open_when_the_folder_is_a_file_then_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        TrajectoryWriter(tmp_path / "file" / "t.jsonl")


def test_store_when_text_is_large_then_compressed_beside_the_log(tmp_path: Path) -> None:
    with TrajectoryWriter(tmp_path / "t.jsonl") as log:
        name = log.store("abc", "line\n" * 10_000)
    assert gzip.decompress((tmp_path / name).read_bytes()).decode() == "line\n" * 10_000
    assert (tmp_path / name).stat().st_size < 1000
