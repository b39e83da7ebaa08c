"""Rows C01 to C03 of the fault matrix: the wall clock jumps in mid-run, or the process stands still for a while.

The clock of C01 and C02 jumps inside the process, for all that Python reads of it: under libfaketime 0.9.10 Python 3.11
hangs in its waits.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ostro.agent.outcome import RunReport
from ostro.agent.record.events import Ended, Observed, Planned, Retried
from ostro.agent.record.trajectory import read_events
from ostro.benchmarks.scripted_endpoint import Exchange, FaultPlan, ScriptedEndpoint
from tests.driving import CHECK, FIX, SUBMIT, bash
from tests.running import environment, left_behind, running
from tests.worlds import missing

STOPPED_S = 3.0
IMPATIENT_S = 1.5
NAP = f"sleep 1.{os.getpid():07}"
"""A command of ours alone, which is over before the process goes on."""

FROZEN = f"""
import json, sys
import httpx2, openai
from tests.endpoint.client import Caller

class Elsewhere:
    url = sys.argv[1]

caller = Caller(Elsewhere(), first_token_s={IMPATIENT_S}, idle_s={IMPATIENT_S})
reply = caller.ask()
print(json.dumps([reply.calls[0].name, reply.tries]))
"""

sandboxed = pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))


JUMPING = """
import datetime, pathlib, time

offset, real = pathlib.Path({offset!r}), time.time
time.time = lambda: real() + float(offset.read_text())
time.time_ns = lambda: int(time.time() * 1e9)

class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

datetime.datetime = Jumping
"""
"""Run by the interpreter before anything else: every wall clock that Python code reads is off by what a file says."""


def jumping_clock(offset: Path) -> dict[str, str]:
    """Return the variables of a process whose wall clock is off by the seconds in a file, and no other clock is."""
    site = offset.with_name("site")
    site.mkdir()
    (site / "sitecustomize.py").write_text(JUMPING.format(offset=str(offset)))
    return {"PYTHONPATH": f"{site}:{environment()['PYTHONPATH']}"}


def set_offset(offset: Path, seconds: float) -> None:
    new = offset.with_name("new")
    new.write_text(str(seconds))
    new.replace(offset)


@sandboxed
@pytest.mark.parametrize("days", [pytest.param(-1, id="C01"), pytest.param(1, id="C02")])
def test_c01_c02_run_when_the_wall_clock_jumps_then_nothing_is_early_late_or_negative(
    tmp_path: Path, days: int
) -> None:
    offset = tmp_path / "offset"
    set_offset(offset, 0)

    def jump(exchange: Exchange) -> None:
        set_offset(offset, days * 86_400)
        exchange.play()

    turns = [FIX, bash(CHECK), bash("sleep 1; echo awake"), {**SUBMIT, "fault": "500"}, SUBMIT]
    endpoint = ScriptedEndpoint(turns, faults=[FaultPlan("jump", 2)], known_faults={"jump": jump})
    clock = jumping_clock(offset)
    with endpoint, running(tmp_path, endpoint, "--test", CHECK, "--time", "300", **clock) as run:
        stdout, stderr = run.process.communicate(timeout=120)
    report = RunReport.model_validate_json(stdout)
    assert report.outcome == "submitted", (report.error, stderr)
    assert 0 < report.seconds < 120
    assert report.tests.verified
    events = list(read_events(run.out / "trajectory.jsonl"))
    first, *_, last = (datetime.fromisoformat(event.ts) for event in events)
    assert abs((last - first) - timedelta(days=days)) < timedelta(minutes=5)  # the clock did jump
    times = [event.mono for event in events]
    assert times == sorted(times)
    assert times[-1] < 120
    durations = [event.duration_s for event in events if isinstance(event, Observed)]
    durations += [event.latency_s for event in events if isinstance(event, Planned)]
    durations += [event.seconds for event in events if isinstance(event, Ended)]
    assert all(0 <= duration < 120 for duration in durations)
    assert len([event for event in events if isinstance(event, Retried)]) == 1
    assert any("awake" in event.text for event in events if isinstance(event, Observed))
    assert left_behind() == []


@sandboxed
def test_c03_run_when_stopped_for_longer_than_a_command_may_take_then_only_what_is_late_is_killed(
    tmp_path: Path,
) -> None:
    """The sandbox works on meanwhile: the first command is over in time, the second never."""
    turns = [FIX, bash(f"{NAP}; echo awake"), bash("sleep 900; echo never"), SUBMIT, SUBMIT]
    with ScriptedEndpoint(turns) as endpoint, running(tmp_path, endpoint, OSTRO_COMMAND_TIMEOUT="2.5") as run:
        run.await_process(NAP)
        stop_for(run.process.pid)
        stdout, stderr = run.process.communicate(timeout=120)
    assert RunReport.model_validate_json(stdout).outcome == "submitted", stderr
    texts = [event.text for event in read_events(run.out / "trajectory.jsonl") if isinstance(event, Observed)]
    assert "awake" in texts[1]
    assert "timed out" not in texts[1]
    assert "timed out" in texts[2]
    assert "never" not in texts[2]


def test_c03_client_when_stopped_for_longer_than_an_answer_may_take_then_at_most_one_retry() -> None:
    turns = [{"calls": [{"name": "bash", "arguments": {"command": "ls"}}], "latency_s": 0.5}]
    with ScriptedEndpoint(turns) as endpoint:
        client = subprocess.Popen(
            [sys.executable, "-c", FROZEN, endpoint.url],
            env={**environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not endpoint.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        stop_for(client.pid)
        stdout, _ = client.communicate(timeout=60)
        name, tries = json.loads(stdout)
        assert name == "bash"
        assert tries == len(endpoint.requests) <= 2


def stop_for(pid: int) -> None:
    """Let the process stand still for `STOPPED_S`."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.kill(pid, signal.SIGCONT)
