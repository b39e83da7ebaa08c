"""The limit of calls in flight, its fall on 429, its recovery, and the shared cool-down."""

from __future__ import annotations

import threading

import pytest

from ostro.agent.errors import Interrupted
from ostro.agent.model.gate import RECOVERY_SUCCESSES, EventClock, Gate
from tests.endpoint.client import FakeClock


def test_gate_when_more_workers_come_than_places_then_they_wait() -> None:
    gate, clock = Gate(2), EventClock()
    inside, release = threading.Semaphore(0), threading.Event()

    def work() -> None:
        with gate.enter(clock):
            inside.release()
            assert release.wait(10)

    workers = [threading.Thread(target=work) for _ in range(5)]
    for worker in workers:
        worker.start()
    assert inside.acquire(timeout=10)
    assert inside.acquire(timeout=10)
    assert not inside.acquire(timeout=0.3)
    release.set()
    for worker in workers:
        worker.join(10)
    assert gate.peak == 2


def test_gate_when_throttled_then_halved_once_a_cool_down_and_grown_back() -> None:
    gate, clock = Gate(8), FakeClock()
    for _ in range(5):
        gate.throttled(clock.now(), clock.now() + 3.0)
    assert gate.limit == 4
    with gate.enter(clock):
        assert clock.waits == [3.0]
    gate.throttled(clock.now(), clock.now() + 3.0)
    assert gate.limit == 2
    for _ in range(2 * RECOVERY_SUCCESSES):
        gate.succeeded()
    assert gate.limit == 4
    for _ in range(10 * RECOVERY_SUCCESSES):
        gate.succeeded()
    assert gate.limit == 8


def test_gate_when_interrupted_in_a_cool_down_then_nobody_enters() -> None:
    gate, clock = Gate(1), FakeClock(stop_after=1)
    gate.throttled(clock.now(), clock.now() + 60.0)
    with pytest.raises(Interrupted), gate.enter(clock):
        pytest.fail("entered")


def test_event_clock_when_stopped_then_a_wait_ends_at_once() -> None:
    stop = threading.Event()
    clock = EventClock(stop)
    assert not clock.interrupted()
    stop.set()
    assert clock.wait(3600.0)
    assert clock.interrupted()
