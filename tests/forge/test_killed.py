"""Killed at any point and started again, `ostro pr` ends with one branch, one pull request and one comment."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ostro.benchmarks.scripted_endpoint import Exchange, FaultPlan
from tests.forge.ci_job import ROOT, CiJob, Event, ci_job
from tests.forge.fake.server import Fault, FaultKind

PUSH = "/git-receive-pack$"
PULLS = "/pulls$"
COMMENTS = "/issues/1/comments$"


@dataclass(frozen=True)
class Point:
    """A request to the forge at which the job dies.

    Attributes:
        done: the forge still does what was asked for.
        nth: among the requests that fit, from 0.
    """

    method: str
    path: str
    done: bool
    nth: int = 0

    def __str__(self) -> str:
        return f"{self.method} {self.path.strip('/$')} {self.nth} {'done' if self.done else 'not done'}"


WRITES = [
    Point("POST", PUSH, done=False),
    Point("POST", PUSH, done=True),
    Point("POST", PULLS, done=False),
    Point("POST", PULLS, done=True),
    Point("POST", "/issues/2/labels$", done=True),
    Point("POST", COMMENTS, done=False),
    Point("POST", COMMENTS, done=True),
    Point("GET", COMMENTS, done=False),
]
BETWEEN = [
    Point("GET", "/issues/1$", done=False),
    Point("GET", PULLS, done=False),
    Point("GET", "/acme/widget$", done=False),
    Point("GET", "/info/refs$", done=False),
    Point("POST", "/git-upload-pack$", done=False),
    Point("GET", "/info/refs$", done=False, nth=1),
    Point("POST", "/git-upload-pack$", done=True, nth=2),
    Point("GET", "/info/refs$", done=True, nth=2),
    Point("GET", PULLS, done=True, nth=1),
    Point("POST", "/issues/2/labels$", done=False),
    Point("DELETE", "/labels/", done=False),
    Point("DELETE", "/labels/", done=True),
]


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[CiJob, Event]]:
    """A job that has been solved and is to be published."""
    with ci_job(tmp_path_factory.mktemp("solved")) as job:
        event = job.labelled()
        done = job.run("pr", "solve", event=event)
        assert done.returncode == 0, done.stderr
        yield job, event


def forget_everything(job: CiJob) -> None:
    """Bring the forge back to where nothing had been published."""
    job.forge.faults.clear()
    job.repository.pulls.clear()
    job.repository.comments.clear()
    for number in [number for number in job.repository.issues if number != job.issue.number]:
        del job.repository.issues[number]
    for branch in job.repository.branches():
        if branch != "main":
            job.repository.git("update-ref", "-d", f"refs/heads/{branch}")


def killed_at(job: CiJob, event: Event, point: Point, *arguments: str) -> None:
    """Run a command that the forge kills while it asks for something."""
    process = job.start(*arguments, event=event)
    kind: FaultKind = "lost" if point.done else "cut"
    job.forge.faults.append(Fault(point.method, point.path, kind, skip=point.nth, strike=process.kill))
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, f"{point} was never reached"
    job.forge.faults.clear()


def assert_one_of_each(job: CiJob, ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert job.repository.branches() == ["main", "ostro/issue-1"]
    assert job.repository.git("rev-list", "--count", "main..ostro/issue-1") == "1"
    (pull,) = job.repository.pulls.values()
    assert (pull.head, pull.draft) == ("ostro/issue-1", True)
    assert job.repository.issues[pull.number].labels == ["ostro-draft"]
    (comment,) = job.comments()
    assert f"draft #{pull.number}" in comment


def publish_twice(solved: tuple[CiJob, Event], point: Point) -> None:
    job, event = solved
    forget_everything(job)
    killed_at(job, event, point, "pr", "publish")
    assert_one_of_each(job, job.run("pr", "publish", event=event))


@pytest.mark.parametrize("point", WRITES, ids=str)
def test_publish_when_killed_at_a_write_then_the_next_one_makes_nothing_twice(
    point: Point, solved: tuple[CiJob, Event]
) -> None:
    publish_twice(solved, point)


@pytest.mark.slow
@pytest.mark.parametrize("point", BETWEEN, ids=str)
def test_publish_when_killed_between_writes_then_the_next_one_makes_nothing_twice(
    point: Point, solved: tuple[CiJob, Event]
) -> None:
    publish_twice(solved, point)


def test_publish_when_killed_again_and_again_then_the_last_one_makes_nothing_twice(
    solved: tuple[CiJob, Event],
) -> None:
    job, event = solved
    forget_everything(job)
    for point in (WRITES[1], WRITES[3], WRITES[6]):
        killed_at(job, event, point, "pr", "publish")
    assert_one_of_each(job, job.run("pr", "publish", event=event))


WHOLE = [
    Point("GET", "/permission$", done=False),
    Point("POST", COMMENTS, done=False),
    Point("POST", COMMENTS, done=True),
    Point("POST", "/git-upload-pack$", done=False),
    Point("POST", PUSH, done=True),
    Point("POST", PULLS, done=True),
    Point("PATCH", "/issues/comments/", done=False),
    Point("PATCH", "/issues/comments/", done=True),
]


@pytest.mark.slow
@pytest.mark.parametrize("point", WHOLE, ids=str)
def test_pr_when_killed_at_a_request_to_the_forge_then_the_next_one_goes_on(point: Point, tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        event = job.labelled()
        killed_at(job, event, point, "pr")
        assert_one_of_each(job, job.run("pr", event=event))


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(5))
def test_pr_when_killed_while_the_model_answers_then_no_turn_is_paid_twice(turn: int, tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        event = job.labelled()
        process = job.start("pr", event=event)

        def kill(exchange: Exchange) -> None:
            process.kill()
            exchange.connection.closed = True

        job.endpoint.known_faults = {**job.endpoint.known_faults, "kill": kill}
        job.endpoint.faults.append(FaultPlan("kill", turn))
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL
        assert_one_of_each(job, job.run("pr", event=event))
        run = job.endpoint.requests[0].conversation
        turns = Counter(asked.turn for asked in job.endpoint.requests if asked.conversation == run)
        assert {number: times for number, times in turns.items() if times > 1} == {turn: 2}


DEADLY = """
import os, signal, sys
def look(event, arguments):
    if event == "os.rename" and os.fspath(arguments[1]).endswith(os.environ["DIES_AT"]):
        os.kill(os.getpid(), signal.SIGKILL)
if os.environ.get("DIES_AT"):
    sys.addaudithook(look)
"""
"""A `sitecustomize` that lets a process die right before a file of the given name is in its place."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["/request.json", "/report.json", "/patch", "/evidence.json"])
def test_pr_when_killed_before_a_file_is_in_place_then_the_next_one_goes_on(name: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEADLY, "utf-8")
    with ci_job(tmp_path) as job:
        event = job.labelled()
        path = f"{ROOT / 'typings'}:{tmp_path}"
        with job.start("pr", event=event, PYTHONPATH=path, DIES_AT=name) as dying:
            dying.communicate(timeout=300)
        assert dying.returncode == -signal.SIGKILL, "the file was never written"
        assert_one_of_each(job, job.run("pr", event=event))
