"""The attached streams: frames taken apart however they arrive, and a socket that neither side can block."""

import socket
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.docker_channel import AttachedChannel, FrameReader
from ostro.sandbox.protocol import SandboxError


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=12),
    st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=20),
)
def test_frames_are_the_same_when_cut_anywhere(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    wire = b"".join(frame(stream, payload) for stream, payload in frames)
    reader, got, at, turn = FrameReader(), {1: b"", 2: b""}, 0, 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        for stream, piece in reader.feed(wire[at : at + size]):
            got[stream] += piece
        at, turn = at + size, turn + 1
    for stream in (1, 2):
        assert got[stream] == b"".join(payload for number, payload in frames if number == stream)


def test_receive_keeps_stderr_apart_and_only_its_end() -> None:
    ours, theirs = socket.socketpair()
    channel = AttachedChannel(ours)
    theirs.sendall(frame(2, b"x" * 9000 + b"last words") + frame(1, b"out"))
    assert channel.receive(5) == b"out"
    assert channel.diagnostics().endswith("last words")
    assert len(channel.diagnostics()) == 8 * 1024
    channel.close()
    theirs.close()


def test_receive_when_nothing_comes_returns_none_in_time() -> None:
    ours, theirs = socket.socketpair()
    channel = AttachedChannel(ours)
    assert channel.receive(0.01) is None
    assert channel.receive(0) is None
    channel.close()
    theirs.close()


def test_receive_when_the_peer_closes_returns_what_came_and_then_the_end() -> None:
    ours, theirs = socket.socketpair()
    channel = AttachedChannel(ours)
    theirs.sendall(frame(1, b"bye"))
    theirs.close()
    assert channel.receive(5) == b"bye"
    assert channel.receive(5) == b""
    assert channel.receive(5) == b""
    channel.close()
    channel.close()


def test_send_when_the_peer_writes_first_does_not_block_either_side() -> None:
    ours, theirs = socket.socketpair()
    channel = AttachedChannel(ours)
    size = 8 * 1024 * 1024
    got: list[int] = []

    def peer() -> None:
        theirs.sendall(frame(1, b"o" * size))  # would block for ever if `send` did not read meanwhile
        count = 0
        while count < size:
            count += len(theirs.recv(1 << 16))
        got.append(count)

    thread = threading.Thread(target=peer)
    thread.start()
    channel.send(b"i" * size)
    thread.join(20)
    received = 0
    while received < size:
        piece = channel.receive(5)
        assert piece
        received += len(piece)
    assert got == [size]
    channel.close()
    theirs.close()


def test_send_when_the_peer_is_gone_raises_transport() -> None:
    ours, theirs = socket.socketpair()
    channel = AttachedChannel(ours)
    theirs.close()
    with pytest.raises(SandboxError) as caught:
        channel.send(b"x" * (1 << 20))
    assert caught.value.kind == "transport"
    channel.close()
    with pytest.raises(SandboxError):
        channel.send(b"x")


def test_receive_when_another_thread_closes_the_channel_then_the_end_and_never_an_error() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the close comes between any two steps of the reader
    ended: list[bytes] = []

    def read_all(channel: AttachedChannel) -> None:
        while (piece := channel.receive(0.0005)) is None:
            pass
        ended.append(piece)

    try:
        for number in range(3000):
            ours, theirs = socket.socketpair()
            channel = AttachedChannel(ours)
            reader = threading.Thread(target=read_all, args=(channel,))
            reader.start()
            time.sleep(0.0003 * (number % 3))
            channel.close()
            reader.join(10)
            theirs.close()
    finally:
        sys.setswitchinterval(interval)
    assert ended == [b""] * 3000
