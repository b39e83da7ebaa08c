"""P01: SIGKILL at random times over a run of 30 steps; resumed, it ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.agent.record.events import Called, Observed
from tests.faults.matrix import whole_matrix
from tests.faults.surviving import (
    Life,
    Stage,
    check_whole,
    digest,
    left_behind,
    left_in_engine,
    new_life,
    resumptions,
    staged,
)
from tests.worlds import missing

STEPS = 30
SEED = 20
LONG, SHORT = 50, 8
"""Kills of the long test: in `make faults`, and elsewhere."""

BEYOND_ONE_CALL = 6
"""So many lines of the log later a resumed run is past the call that it took up again."""


def flags_of(kind: str, image: str) -> tuple[str, ...]:
    sandbox = ("--sandbox", kind) if kind == "local" else ("--sandbox", kind, "--image", image)
    return (*sandbox, "--setup", "true", "--test", "python3 check.py")


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    kind = str(request.param)
    if kind == "local" and (reason := missing("bubblewrap")):
        pytest.skip(reason)
    flags = flags_of(kind, request.getfixturevalue("docker_image") if kind == "docker" else "")
    with staged(tmp_path, STEPS, flags) as made:
        yield made


def kill_and_resume(stage: Stage, rounds: int) -> dict[str, int]:
    """Kill so many processes, each at a random moment, resume, and check each run that comes to its end."""
    chance = random.Random(SEED)
    told = {"kills": 0, "runs": 0, "rerun": 0, "cut": 0, "kept": 0, "rebuilt": 0}
    while told["kills"] < rounds:
        life = new_life(stage.nursery, stage.endpoint, stage.folder, stage.flags, run=f"run-{told['runs']}")
        while told["kills"] + life.kills < rounds and killed(life, chance):
            life.kills += 1
        report = life.finish()
        check_whole(life, report, stage.events)
        assert digest(report) == stage.digest
        resumed = resumptions(life.events())
        told["kills"] += life.kills
        told["runs"] += 1
        told["rerun"] += sum(len(event.rerun) for event in resumed)
        told["cut"] += sum(bool(event.cut_call) for event in resumed)
        for event in resumed:
            told[event.sandbox] += 1
    return told


def killed(life: Life, chance: random.Random) -> bool:
    """Let the run go on for a while and kill it; False when it came to its end before.

    The while is a time, or a number of lines that the log grows by and some milliseconds: what a machine does in a
    second says little about where a run stands then.
    """
    lines = chance.randint(0, 25)
    if cut_off_twice(life):
        lines = max(lines, BEYOND_ONE_CALL)
    before = life.lines()
    process = life.start()
    with contextlib.suppress(ProcessLookupError):
        while life.lines() < before + lines:
            os.kill(process, 0)
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.03 if lines else 1.5))
        os.kill(process, signal.SIGKILL)
    return life.nursery.wait() == -signal.SIGKILL


def cut_off_twice(life: Life) -> bool:
    """Whether a third kill in the call under way would let the run give it up, as test_p02_boundaries.py has it."""
    calls = [event for event in life.events() if isinstance(event, Called | Observed)] if life.lines() else []
    if not calls or isinstance(calls[-1], Observed):
        return False
    return sum(isinstance(event, Called) and event.call.id == calls[-1].call.id for event in calls) >= 2


def nothing_left(stage: Stage) -> None:
    assert left_behind(Path(os.environ["OSTRO_HOME"])) == []
    if "docker" in stage.flags:
        assert left_in_engine(Path(os.environ["OSTRO_HOME"])) == []


@pytest.mark.parametrize("stage", ["local"], indirect=True)
def test_p01_run_when_killed_three_times_then_the_same_patch_and_nothing_lost(stage: Stage) -> None:
    told = kill_and_resume(stage, 3)
    assert told["kills"] == 3
    nothing_left(stage)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["local", pytest.param("docker", marks=pytest.mark.docker)], indirect=True)
def test_p01_run_when_killed_many_times_then_the_same_patch_and_nothing_lost(
    stage: Stage, pytestconfig: pytest.Config
) -> None:
    rounds = LONG if whole_matrix(pytestconfig) else SHORT
    told = kill_and_resume(stage, rounds)
    print(told)
    assert told["kills"] == rounds
    nothing_left(stage)
