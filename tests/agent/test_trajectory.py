"""The event log: durable, chained, one writer. What a crash or a bad disk does to it is in tests/faults."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import pytest

from ostro.agent.errors import StorageError
from ostro.agent.record.events import Event, Noted
from ostro.agent.record.trajectory import TrajectoryWriter, read_events


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


def test_open_when_another_writer_holds_the_log_then_refused(tmp_path: Path) -> None:
    with TrajectoryWriter(tmp_path / "t.jsonl"), pytest.raises(StorageError, match="another process"):
        TrajectoryWriter(tmp_path / "t.jsonl")


def test_reopen_when_appended_then_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_three(path)
    with TrajectoryWriter.reopen(path) as log:
        assert log.write(Noted(kind="test", text="later")).seq == 3
    assert texts(path)[-1] == "later"


def test_open_when_there_is_a_log_already_then_refused_and_left_as_it_is(tmp_path: Path) -> None:
    write_three(tmp_path / "t.jsonl")
    before = (tmp_path / "t.jsonl").read_bytes()
    with pytest.raises(StorageError, match="another log"):
        TrajectoryWriter(tmp_path / "t.jsonl")
    assert (tmp_path / "t.jsonl").read_bytes() == before


def test_reopen_when_there_is_no_log_then_refused_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        TrajectoryWriter.reopen(tmp_path / "t.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_reopen_when_time_went_by_then_its_clock_goes_on_from_the_last_event(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with TrajectoryWriter(path) as log:
        log.write(Noted(kind="test", text="first"))
        last = log.write(Noted(kind="test", text="second"))
    with TrajectoryWriter.reopen(path) as log:
        assert last.mono <= log.write(Noted(kind="test", text="third")).mono < last.mono + 60


def test_open_when_the_folder_is_a_file_then_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        TrajectoryWriter(tmp_path / "file" / "t.jsonl")


def test_store_when_text_is_large_then_compressed_beside_the_log(tmp_path: Path) -> None:
    with TrajectoryWriter(tmp_path / "t.jsonl") as log:
        name = log.store("abc", "line\n" * 10_000)
    assert gzip.decompress((tmp_path / name).read_bytes()).decode() == "line\n" * 10_000
    assert (tmp_path / name).stat().st_size < 1000


def test_l07_write_when_fsync_fails_once_then_nothing_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.jsonl"

    def fail(descriptor: int) -> None:
        monkeypatch.undo()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with TrajectoryWriter(path) as log:
        log.write(Noted(kind="test", text="first"))
        monkeypatch.setattr(os, "fdatasync", fail)
        for text in ("second", "third"):
            with pytest.raises(StorageError, match="Input/output error") as caught:
                log.write(Noted(kind="test", text=text))
            assert caught.value.kind == "storage_error"
    assert texts(path) == ["first", "second"]  # whether the second is on the disk nobody knows
