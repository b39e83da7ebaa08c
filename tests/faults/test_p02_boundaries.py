"""P02: SIGKILL at every boundary of the log: between intent and result, between end and branch, branch and report."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.agent.record.events import Observed
from tests.driving import git
from tests.faults.dying import Death
from tests.faults.matrix import whole_matrix
from tests.faults.surviving import (
    Stage,
    check_whole,
    digest,
    left_behind,
    new_life,
    resumptions,
    staged,
)
from tests.worlds import missing

STEPS = 9
SAMPLE = 7

pytestmark = pytest.mark.skipif(bool(missing("bubblewrap")), reason=missing("bubblewrap"))


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    flags = ("--sandbox", "local", "--setup", "true", "--test", str(getattr(request, "param", "")))
    with staged(tmp_path, STEPS, flags) as made:
        yield made


def survive(stage: Stage, death: Death) -> None:
    """Kill a run at that moment, resume it, and check that it ends as the undisturbed one."""
    name = f"run-{death.kind}{death.line}-{'after' if death.after else 'before'}"
    life = new_life(stage.nursery, stage.endpoint, stage.folder, stage.flags, run=name)
    life.start(death)
    assert stage.nursery.wait() == -9, death
    report = life.finish()
    check_whole(life, report, stage.events)
    assert digest(report) == stage.digest, death
    assert git(life.repository, "branch", "--list", "ostro/*", "--format=%(refname:short)") == report.branch, death
    assert all(not event.cut_call or event.repeats for event in resumptions(life.events()))
    assert left_behind(Path(os.environ["OSTRO_HOME"])) == []


KINDS = {"run_started": 0, "planned": 3, "called": 3, "observed": 3, "checkpointed": 0, "ended": 0, "published": 0}
"""Events after which a run is killed: the kind, and which of them."""


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("called", "published"), id="between intent and result, branch and report"),
        pytest.param(tuple(KINDS), id="each", marks=pytest.mark.slow),
    ],
)
def test_p02_run_when_killed_after_an_event_of_a_kind_then_the_same_patch(stage: Stage, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        survive(stage, Death(KINDS[kind], after=True, kind=kind))


def test_p02_run_when_one_call_is_cut_off_three_times_then_it_is_not_tried_again(stage: Stage) -> None:
    life = new_life(stage.nursery, stage.endpoint, stage.folder, stage.flags)
    for number in (2, 0, 0):
        life.start(Death(number, after=True, kind="called"))
        assert stage.nursery.wait() == -9
    report = life.finish()
    assert [event.repeats for event in resumptions(life.events())] == [True, True, False]
    observed = [event for event in life.events() if isinstance(event, Observed)]
    assert [event.interrupted for event in observed] == [False, False, True] + [False] * (len(observed) - 3)
    assert observed[2].text.startswith("Not run: the run was interrupted 3 times")
    assert "journal.txt" not in report.files_changed
    assert report.files_changed == tuple(name for name in stage.files if name != "journal.txt")


@pytest.mark.parametrize("seconds", [0.0, pytest.param(0.2, marks=pytest.mark.slow)])
def test_p02_run_when_killed_before_it_began_then_resume_begins_it(stage: Stage, seconds: float) -> None:
    life = new_life(stage.nursery, stage.endpoint, stage.folder, stage.flags)
    process = life.start()
    while not (life.folder / "request.json").exists():
        time.sleep(0.002)
    time.sleep(seconds)  # anywhere between the request and the first event: nothing is waited for
    os.kill(process, signal.SIGKILL)
    assert stage.nursery.wait() == -9
    report = life.finish()
    check_whole(life, report, stage.events)
    assert digest(report) == stage.digest


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["python3 check.py"], indirect=True)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_p02_run_when_killed_at_any_line_of_the_log_then_the_same_patch(
    stage: Stage, after: bool, pytestconfig: pytest.Config
) -> None:
    step = 1 if whole_matrix(pytestconfig) else SAMPLE  # `make faults` takes every line
    for line in range(0, len(stage.events), step):
        survive(stage, Death(line, after))
