"""Killed at any point and started again, `ostro pr` ends with one branch, one pull request and one comment."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostro.benchmarks.scripted_endpoint import Exchange, FaultPlan
from ostro.forge.protocol import ForgeKind
from tests.forge.ci_job import ROOT, ci_job
from tests.forge.killing import Killed, Point, every_point, killed_on

PUSH = "/git-receive-pack$"
PULLS = "/pulls$"
COMMENTS = "/issues/1/comments$"


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
def solved(tmp_path_factory: pytest.TempPathFactory) -> Generator[Killed]:
    """A job on GitHub that has been solved and is to be published."""
    with solved_on("github", tmp_path_factory.mktemp("solved")) as killed:
        yield killed


@contextmanager
def solved_on(kind: ForgeKind, folder: Path) -> Generator[Killed]:
    with ci_job(folder) as job:
        killed = killed_on(kind, job)
        done = killed.run("pr", "solve")
        assert done.returncode == 0, done.stderr
        yield killed


def ended_well(killed: Killed, *arguments: str) -> None:
    done = killed.run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    killed.assert_one_of_each()


def publish_twice(solved: Killed, point: Point) -> None:
    solved.forget_everything()
    solved.at(point, "pr", "publish")
    ended_well(solved, "pr", "publish")


@pytest.mark.parametrize("point", WRITES, ids=str)
def test_publish_when_killed_at_a_write_then_the_next_one_makes_nothing_twice(point: Point, solved: Killed) -> None:
    publish_twice(solved, point)


@pytest.mark.slow
@pytest.mark.parametrize("point", BETWEEN, ids=str)
def test_publish_when_killed_between_writes_then_the_next_one_makes_nothing_twice(point: Point, solved: Killed) -> None:
    publish_twice(solved, point)


def test_publish_when_killed_again_and_again_then_the_last_one_makes_nothing_twice(
    solved: Killed,
) -> None:
    solved.forget_everything()
    for point in (WRITES[1], WRITES[3], WRITES[6]):
        solved.at(point, "pr", "publish")
    ended_well(solved, "pr", "publish")


ELSEWHERE: dict[ForgeKind, tuple[Point, ...]] = {
    "gitlab": (
        Point("POST", PUSH, done=True),
        Point("POST", "/merge_requests$", done=True),
        Point("PUT", "/merge_requests/1$", done=True),
        Point("PUT", "/issues/1$", done=True),
        Point("POST", "/notes$", done=True),
    ),
    "gitea": (
        Point("POST", PUSH, done=True),
        Point("POST", PULLS, done=True),
        Point("POST", "/widget/labels$", done=True),
        Point("POST", "/issues/2/labels$", done=True),
        Point("POST", COMMENTS, done=True),
    ),
}
"""What publishing changes, in its order."""


@pytest.mark.parametrize("kind", ["gitlab", pytest.param("gitea", marks=pytest.mark.slow)])
def test_publish_elsewhere_when_killed_after_each_change_then_the_last_one_makes_nothing_twice(
    kind: ForgeKind, tmp_path: Path
) -> None:
    with solved_on(kind, tmp_path) as killed:
        for point in ELSEWHERE[kind]:
            killed.at(point, "pr", "publish")
        ended_well(killed, "pr", "publish")
        killed.publish_here()
        killed.assert_one_of_each()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ELSEWHERE)
def test_publish_elsewhere_when_killed_at_every_request_then_the_next_one_makes_nothing_twice(
    kind: ForgeKind, tmp_path: Path
) -> None:
    with solved_on(kind, tmp_path) as killed:
        before = len(killed.job.forge.requests)
        killed.publish_here()
        points = every_point(killed.job.forge.requests[before:])
        assert len(points) >= 20
        for point in points:
            killed.forget_everything()
            killed.at(point, "pr", "publish")
            killed.publish_here()
            killed.assert_one_of_each()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ELSEWHERE)
def test_pr_elsewhere_when_killed_again_and_again_then_the_last_one_makes_nothing_twice(
    kind: ForgeKind, tmp_path: Path
) -> None:
    posted, changed = ("/notes$", "/notes/") if kind == "gitlab" else (COMMENTS, "/issues/comments/")
    with ci_job(tmp_path) as job:
        killed = killed_on(kind, job)
        killed.at(Point("POST", posted, done=True), "pr")
        killed.at(Point("POST", "/git-upload-pack$", done=False), "pr")
        for point in ELSEWHERE[kind][:-1]:
            killed.at(point, "pr")
        killed.at(Point("PUT" if kind == "gitlab" else "PATCH", changed, done=True), "pr")
        ended_well(killed, "pr")


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
        killed = killed_on("github", job)
        killed.at(point, "pr")
        ended_well(killed, "pr")


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(5))
def test_pr_when_killed_while_the_model_answers_then_no_turn_is_paid_twice(turn: int, tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        killed = killed_on("github", job)
        process = job.start("pr", event=killed.event)

        def kill(exchange: Exchange) -> None:
            process.kill()
            exchange.connection.closed = True

        job.endpoint.known_faults = {**job.endpoint.known_faults, "kill": kill}
        job.endpoint.faults.append(FaultPlan("kill", turn))
        process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL
        ended_well(killed, "pr")
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
        killed = killed_on("github", job)
        path = f"{ROOT / 'typings'}:{tmp_path}"
        with job.start("pr", event=killed.event, PYTHONPATH=path, DIES_AT=name) as dying:
            dying.communicate(timeout=300)
        assert dying.returncode == -signal.SIGKILL, "the file was never written"
        ended_well(killed, "pr")
