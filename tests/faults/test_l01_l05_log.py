"""Rows L01 to L05 of the fault matrix: what a crash or a bad disk leaves of the event log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostro.agent.record.chain import seal
from ostro.agent.record.events import SCHEMA, Ended, Noted, RunStarted
from ostro.agent.record.trajectory import TrajectoryError, TrajectoryWriter, read_events

OLD_LOGS = Path(__file__).parent.parent / "data" / "old_logs"
TEXTS = ["one", 'two, with ,"sum":"0123456789abcdef"} in it', "three é\n"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "trajectory.jsonl"
    with TrajectoryWriter(path) as writer:
        for text in TEXTS:
            writer.write(Noted(kind="test", text=text))
    return path


def texts(path: Path) -> list[str]:
    return [event.text for event in read_events(path) if isinstance(event, Noted)]


def go_on(path: Path) -> list[Noted]:
    """Reopen the log, write one event more, and return what the log holds then."""
    with TrajectoryWriter.reopen(path) as writer:
        writer.write(Noted(kind="test", text="later"))
    events = [event for event in read_events(path) if isinstance(event, Noted)]
    assert [event.seq for event in events] == list(range(len(events)))
    return events


def check_set_aside(path: Path, tail: bytes, *, kept: int, kind: str = "torn_tail") -> None:
    """The tail lies beside the log, and the log went on behind the records before it."""
    assert texts(path) == TEXTS[:kept]
    aside = path.with_name("trajectory.jsonl.torn-1")
    events = go_on(path)
    assert [event.text for event in events[:kept]] == TEXTS[:kept]
    assert [event.kind for event in events[kept:]] == [kind, "test"]
    assert aside.name in events[kept].text
    assert aside.read_bytes() == tail
    aside.unlink()


def test_l01_log_when_the_last_record_is_cut_at_any_offset_then_the_rest_is_set_aside(log: Path) -> None:
    whole = log.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start + 1, len(whole) - 1):
        log.write_bytes(whole[:end])
        check_set_aside(log, whole[start:end], kept=2)


def test_l01_log_when_cut_between_two_records_then_it_goes_on_there(log: Path) -> None:
    whole = log.read_bytes()
    log.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])
    assert [event.text for event in go_on(log)] == [*TEXTS[:2], "later"]


def test_l01_log_when_only_the_newline_is_missing_then_the_record_is_good(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-1])
    assert texts(log) == TEXTS
    assert [event.text for event in go_on(log)] == [*TEXTS, "later"]
    assert list(log.parent.iterdir()) == [log]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(garbage=st.binary(min_size=1, max_size=200).filter(lambda garbage: b"\n" not in garbage), newline=st.booleans())
def test_l01_log_when_garbage_follows_then_it_is_set_aside(log: Path, garbage: bytes, newline: bool) -> None:
    whole = log.read_bytes()
    log.write_bytes((whole if newline else whole[:-1]) + garbage)
    check_set_aside(log, garbage, kept=3)
    log.write_bytes(whole)


def test_l01_log_when_torn_again_then_each_tail_is_kept(log: Path) -> None:
    for number in (1, 2):
        with log.open("ab") as file:
            file.write(b"torn %d" % number)
        go_on(log)
    assert log.with_name("trajectory.jsonl.torn-1").read_bytes() == b"torn 1"
    assert log.with_name("trajectory.jsonl.torn-2").read_bytes() == b"torn 2"


def test_l01_log_when_the_only_record_is_torn_then_it_begins_anew(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:20])
    check_set_aside(log, log.read_bytes(), kept=0)


def test_l02_log_when_a_byte_before_the_tail_is_flipped_then_the_record_is_named(log: Path) -> None:
    whole = log.read_bytes()
    starts = [0, *(at + 1 for at, byte in enumerate(whole[:-1]) if byte == ord("\n"))]
    for at in range(len(whole) - 1):
        flipped = bytearray(whole)
        flipped[at] ^= 0x01
        log.write_bytes(flipped)
        line = max(number for number, start in enumerate(starts, start=1) if start <= at)
        with pytest.raises(TrajectoryError, match=rf"trajectory\.jsonl, line {line} \(seq {line - 1}\)") as caught:
            texts(log)
        assert caught.value.kind == "damaged"
        with pytest.raises(TrajectoryError, match=f"line {line}"):
            TrajectoryWriter.reopen(log)
        assert log.read_bytes() == flipped


def test_l02_log_when_a_record_is_missing_then_the_next_one_is_named(log: Path) -> None:
    first, _, third = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + third)
    with pytest.raises(TrajectoryError, match=r"line 2 \(seq 1\)"):
        texts(log)


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_l03_log_when_zeros_stand_at_the_end_then_they_are_set_aside(log: Path, ending: bytes) -> None:
    zeros = bytes(4096) + ending
    with log.open("ab") as file:
        file.write(zeros)
    check_set_aside(log, zeros, kept=3)


def test_l03_log_when_the_last_record_ends_in_zeros_then_it_is_set_aside(log: Path) -> None:
    whole = log.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    log.write_bytes(whole[: start + 30] + bytes(len(whole) - start - 30))
    check_set_aside(log, log.read_bytes()[start:], kept=2)


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_l04_log_when_the_last_record_stands_twice_then_it_counts_once_with_a_warning(log: Path, ending: bytes) -> None:
    copy = log.read_bytes().splitlines()[-1] + ending
    with log.open("ab") as file:
        file.write(copy)
    check_set_aside(log, copy, kept=3, kind="duplicate_record")


def test_l04_log_when_a_record_in_the_middle_stands_twice_then_it_counts_once(log: Path) -> None:
    first, second, third = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + second + second + third)
    assert [event.text for event in go_on(log)] == [*TEXTS, "later"]


@pytest.mark.parametrize("old", sorted(OLD_LOGS.iterdir()), ids=lambda path: path.stem)
def test_l05_log_of_every_version_so_far_when_read_then_it_is_whole_and_can_go_on(old: Path, tmp_path: Path) -> None:
    events = list(read_events(old))
    assert isinstance(events[0], RunStarted)
    assert [event.outcome.ending for event in events if isinstance(event, Ended)] == ["submitted"]
    assert len(events) == len(old.read_bytes().splitlines())
    copy = tmp_path / "trajectory.jsonl"
    copy.write_bytes(old.read_bytes())
    with TrajectoryWriter.reopen(copy) as writer:
        assert writer.write(Noted(kind="test", text="later")).mono >= events[-1].mono
    assert len(list(read_events(copy))) == len(events) + 1


@pytest.mark.parametrize("schema", [0, SCHEMA + 1])
def test_l05_log_of_another_schema_when_read_then_refused_by_name(tmp_path: Path, schema: int) -> None:
    manifest = next(read_events(OLD_LOGS / "schema-1.jsonl"))
    assert isinstance(manifest, RunStarted)
    line, _ = seal(manifest.model_copy(update={"schema_version": schema, "ostro_version": "9.9"}), "")
    path = tmp_path / "trajectory.jsonl"
    path.write_bytes(line)
    for use in (lambda: list(read_events(path)), lambda: TrajectoryWriter.reopen(path)):
        with pytest.raises(
            TrajectoryError, match=rf"line 1 .*schema {schema} by ostro 9\.9.* reads schema {SCHEMA}"
        ) as caught:
            use()
        assert (caught.value.kind, "9.9" in caught.value.mend) == ("schema", True)


def test_l05_event_of_a_newer_version_when_read_then_refused_by_name(log: Path) -> None:
    class Later(Noted):
        weight: int = 3

    (tmp := log.with_name("later.jsonl")).write_bytes(seal(Later(seq=0, kind="a", text="b"), "")[0])
    with pytest.raises(TrajectoryError, match=r"line 1 \(seq 0\): an event that this version does not know") as caught:
        list(read_events(tmp))
    assert caught.value.kind == "schema"
    assert "\n" not in str(caught.value)
    assert json.loads(tmp.read_bytes())["weight"] == 3
