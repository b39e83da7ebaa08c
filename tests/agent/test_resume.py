"""Going on with a run that ended before it was done: what is done stays done, what is wrong is one clear error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from ostro.agent.errors import StorageError, UsageError
from ostro.agent.outcome import Ending, RunReport
from ostro.agent.record.events import Checkpointed, Ended, Event, Observed, Planned, Published, Resumed
from ostro.agent.record.trajectory import read_events
from ostro.agent.resume import resume
from ostro.benchmarks.scripted_endpoint import Recorded, ScriptedEndpoint
from ostro.sandbox.protocol import RepositoryError
from tests.driving import CHECK, FIX, SOLVE, SUBMIT, Driven, bash, drive, drive_at, git, make_repository
from tests.endpoint import FAULTS

REFUSED: Mapping[str, Any] = {"fault": "A06", "fault_times": 1}
"""The endpoint refuses the key once: the run ends as model_error, and the same request succeeds afterwards."""


class Twice:
    """A run that ended early, and its second life at the same endpoint."""

    def __init__(self, folder: Path, turns: Sequence[Any], **settings: Any) -> None:
        self.folder = folder
        self.out = folder / "run"
        self.repository = make_repository(folder / "repository")
        self.endpoint = ScriptedEndpoint(turns, known_faults=FAULTS)
        self.endpoint.start()
        self.first: Driven = drive_at(folder, self.repository, self.endpoint, **{"test": "", **settings})
        self.said: list[str] = []

    def resume(self, **limits: Any) -> RunReport:
        return resume(self.out, limits, None, self.said.append)

    def events(self) -> list[Event]:
        return list(read_events(self.out / "trajectory.jsonl"))

    def requests_since(self) -> list[Recorded]:
        return self.endpoint.requests[len(self.first.requests) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.endpoint.close()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resume_when_the_model_failed_then_it_goes_on_and_asks_nothing_again(tmp_path: Path) -> None:
    turns = [
        bash("echo x >>seen.txt; export DEEP=1; cd /tmp"),
        {**FIX, **REFUSED},
        bash("pwd; echo $DEEP"),
        SUBMIT,
        SUBMIT,
    ]
    with Twice(tmp_path, turns, price=(1.0, 2.0)) as run:
        assert run.first.report.outcome is Ending.MODEL_ERROR
        report = run.resume()
        assert (report.outcome, report.exit_code, report.steps) == (Ending.SUBMITTED, 0, len(turns))
        events = run.events()
        planned = [event for event in events if isinstance(event, Planned)]
        assert [event.turn for event in planned] == list(range(len(turns)))
        assert report.cost_usd == round(sum(event.cost_usd for event in planned), 6)
        assert len(run.requests_since()) == len(turns) - 1
        shown = [event.text for event in events if isinstance(event, Observed)]
        assert shown[2].startswith("/tmp\n1\n")
        assert git(run.repository, "show", f"{report.branch}:seen.txt") == "x"
        assert RunReport.model_validate_json((run.out / "report.json").read_bytes()) == report


def test_resume_when_a_job_ran_in_the_background_then_the_model_is_told_of_its_end(tmp_path: Path) -> None:
    background = {"calls": [{"name": "bash", "arguments": {"command": "echo up; sleep 300", "background": True}}]}
    with Twice(tmp_path, [background, FIX, {**bash("jobs"), **REFUSED}, background, SUBMIT, SUBMIT]) as run:
        assert run.resume().outcome is Ending.SUBMITTED
        shown = [event.text for event in run.events() if isinstance(event, Observed)]
        assert shown[2].startswith("job-1: ended with exit code 137; log /tmp/job-1.log; echo up")
        assert shown[3].startswith("Started job-2 in the background.")


def test_resume_when_the_patch_grew_then_our_branch_moves_forward(tmp_path: Path) -> None:
    with Twice(tmp_path, [bash("echo x >>seen.txt"), {**FIX, **REFUSED}, SUBMIT, SUBMIT]) as run:
        before = run.first.report
        assert before.branch is not None
        report = run.resume()
        assert report.branch == before.branch
        assert report.commit != before.commit
        assert git(run.repository, "rev-parse", f"{report.branch}^") == git(run.repository, "rev-parse", "HEAD")
        assert git(run.repository, "branch", "--list", "ostro/*", "--format=%(refname:short)") == report.branch


@pytest.mark.parametrize("done", ["commit", "amend", "checkout"])
def test_resume_when_the_user_works_on_the_branch_then_another_name(tmp_path: Path, done: str) -> None:
    with Twice(tmp_path, [bash("echo x >>seen.txt"), {**FIX, **REFUSED}, SUBMIT, SUBMIT]) as run:
        branch = str(run.first.report.branch)
        git(run.repository, "checkout", "-q", branch)
        if done == "commit":
            git(run.repository, "commit", "-q", "--allow-empty", "-m", "mine")
        if done == "amend":
            git(run.repository, "commit", "-q", "--amend", "--no-edit", "--date", "2001-02-03T04:05:06Z")
        if done != "checkout":
            git(run.repository, "checkout", "-q", "main")
        mine = git(run.repository, "rev-parse", branch)
        report = run.resume()
        assert report.branch == f"{branch}-2"
        assert git(run.repository, "rev-parse", branch) == mine


def test_resume_when_the_run_has_ended_for_good_then_its_report_and_nothing_changes(tmp_path: Path) -> None:
    with Twice(tmp_path, SOLVE) as run:
        before = content(tmp_path)
        assert run.resume() == run.first.report
        assert content(tmp_path) == before
        assert len(run.requests_since()) == 0
        assert "has ended (submitted)" in run.said[-1]


@pytest.mark.parametrize(
    ("setting", "low", "high"),
    [("steps", 2, 9), ("tokens", 1, 10**9), ("budget", 0.0000001, 5.0), ("time", 0.001, 600.0)],
)
def test_resume_when_a_limit_ended_it_then_only_with_a_higher_one(
    tmp_path: Path, setting: str, low: float, high: float
) -> None:
    with Twice(tmp_path, SOLVE, price=(1.0, 2.0), **{setting: low}) as run:
        assert run.first.report.exit_code == 3
        before = content(tmp_path)
        with pytest.raises(UsageError, match=f"its limit of {setting}") as refused:
            run.resume()
        assert f"--{setting} " in refused.value.mend
        assert content(tmp_path) == before
        report = run.resume(**{setting: high})
        assert (report.outcome, report.steps) == (Ending.SUBMITTED, len(SOLVE))
        resumed = next(event for event in run.events() if isinstance(event, Resumed))
        assert resumed.limits == {setting: high}


def test_resume_when_killed_after_the_limit_was_raised_then_the_new_limit_holds(tmp_path: Path) -> None:
    turns = [*SOLVE[:2], {**SOLVE[2], **REFUSED}, *SOLVE[3:]]
    with Twice(tmp_path, turns, steps=2) as run:
        assert run.resume(steps=20).outcome is Ending.MODEL_ERROR
        assert run.resume().outcome is Ending.SUBMITTED


def test_resume_when_the_checkpoints_are_gone_then_the_calls_are_run_again_from_the_base(tmp_path: Path) -> None:
    turns = [bash("echo x >>seen.txt"), FIX, bash("echo y >>seen.txt"), {**REFUSED, **SUBMIT}, SUBMIT]
    with Twice(tmp_path, turns, test=CHECK) as run:
        assert any(isinstance(event, Checkpointed) for event in run.events())
        shutil.rmtree(run.out / "checkpoints")
        report = run.resume()
        assert report.outcome is Ending.SUBMITTED
        resumed = next(event for event in run.events() if isinstance(event, Resumed))
        assert (len(resumed.rerun), resumed.restored) == (3, "")
        assert git(run.repository, "show", f"{report.branch}:seen.txt") == "x\ny"
        assert report.tests.verified


def test_resume_when_an_attempt_of_several_was_cut_off_then_the_others_stay(tmp_path: Path) -> None:
    other = bash("echo '# other' >>price.py")
    with ScriptedEndpoint([FIX, SUBMIT, SUBMIT], known_faults=FAULTS) as endpoint:
        repository = make_repository(tmp_path / "repository")
        endpoint.by_request = [FIX, SUBMIT, SUBMIT, other, {**SUBMIT, **REFUSED}, SUBMIT, SUBMIT]
        first = drive_at(tmp_path, repository, endpoint, attempts=2, price=(1.0, 2.0))
        logs = [tmp_path / "run" / name / "trajectory.jsonl" for name in (".", "attempt-2")]
        kept = logs[0].read_bytes().splitlines()
        last = list(read_events(logs[1]))[-1]
        assert isinstance(last, Ended)
        assert last.outcome.ending is Ending.MODEL_ERROR
        assert first.report.outcome is Ending.SUBMITTED
        (tmp_path / "run" / "report.json").unlink()  # as if it had been killed before the report
        report = resume(tmp_path / "run", {}, None, lambda _: None)
        assert report.outcome is Ending.SUBMITTED
        assert report.steps == 6
        assert logs[0].read_bytes().splitlines()[: len(kept)] == kept
        assert sum(isinstance(event, Planned) for event in read_events(logs[1])) == 3


def cut_log(log: Path, kind: type[Event]) -> None:
    """Leave out everything from the first event of a kind on, as if the process had been killed before it."""
    number = next(event.seq for event in read_events(log) if isinstance(event, kind))
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:number]))


def between_attempts(out: Path) -> None:
    shutil.rmtree(out / "attempt-2")
    in_the_selection(out)


def in_the_selection(out: Path) -> None:
    for log in out.rglob("trajectory.jsonl"):
        if any(isinstance(event, Published) for event in read_events(log)):
            cut_log(log, Published)


def before_the_report(out: Path) -> None:
    assert (out / "patch.diff").exists()


@pytest.mark.parametrize("killed", [between_attempts, in_the_selection, before_the_report])
def test_resume_when_killed_after_an_attempt_of_two_then_the_same_report(tmp_path: Path, killed: Any) -> None:
    other = bash("sed -i 's/sum(prices) + 1/sum(list(prices))/' price.py")
    with ScriptedEndpoint([FIX], known_faults=FAULTS) as endpoint:
        repository = make_repository(tmp_path / "repository")
        endpoint.by_request = [FIX, SUBMIT, SUBMIT, other, SUBMIT, SUBMIT]
        first = drive_at(tmp_path, repository, endpoint, attempts=2, price=(1.0, 2.0)).report
        asked = len(endpoint.requests)
        killed(tmp_path / "run")
        if killed is between_attempts:
            endpoint.by_request = [SUBMIT] * asked + [other, SUBMIT, SUBMIT]
        (tmp_path / "run" / "report.json").unlink()
        again = resume(tmp_path / "run", {}, None, lambda _: None)
        assert len(endpoint.requests) == asked + (3 if killed is between_attempts else 0)
        fresh = {"seconds": 0.0, "tests": first.tests, "commit": first.commit}
        assert again.model_copy(update=fresh) == first.model_copy(update=fresh)
        assert (again.tests.before.status, again.tests.after.status) == ("red", "green")
        assert git(repository, "branch", "--list", "ostro/*", "--format=%(refname:short)") == again.branch


def damage_log(out: Path, repository: Path) -> None:
    lines = (out / "trajectory.jsonl").read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"preflight", b"prefl1ght")
    (out / "trajectory.jsonl").write_bytes(b"".join(lines))


def newer_request(out: Path, repository: Path) -> None:
    request = json.loads((out / "request.json").read_text())
    (out / "request.json").write_text(json.dumps({**request, "schema": 2, "ostro_version": "9.9"}))


def torn_request(out: Path, repository: Path) -> None:
    (out / "request.json").write_text("{")


def no_request(out: Path, repository: Path) -> None:
    (out / "request.json").unlink()


def no_base(out: Path, repository: Path) -> None:
    shutil.rmtree(out / "base.git")


def no_repository(out: Path, repository: Path) -> None:
    shutil.rmtree(repository)


DAMAGES: Sequence[tuple[Any, type[Exception], str]] = (
    (damage_log, StorageError, "line 2"),
    (newer_request, UsageError, "schema 2, written by Ostro 9.9"),
    (torn_request, StorageError, "request.json is damaged"),
    (no_request, UsageError, "holds no run"),
    (no_base, StorageError, "the base of the run"),
    (no_repository, RepositoryError, "repository"),
)


def test_resume_when_something_it_needs_is_gone_then_one_error_and_nothing_changes(tmp_path: Path) -> None:
    with Twice(tmp_path, [bash("echo x >>seen.txt"), {**FIX, **REFUSED}, SUBMIT, SUBMIT]) as run:
        for damage, kind, said in DAMAGES:
            copy = tmp_path / damage.__name__
            shutil.copytree(run.out, copy)
            damage(copy, run.repository)
            before = content(copy)
            with pytest.raises(kind, match=said):
                resume(copy, {}, None, run.said.append)
            assert content(copy) == before


def test_run_when_it_begins_then_the_request_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEX_TOKEN", "tok-0123456789abcdef")
    with Twice(tmp_path, [{**REFUSED, **SUBMIT}], instructions="Use tok-0123456789abcdef.") as run:
        stored = (run.out / "request.json").read_text()
        assert "tok-0123456789abcdef" not in stored
        with pytest.raises(UsageError, match="the setting instructions of this run held a secret"):
            run.resume()


def test_run_when_it_is_refused_then_no_request_is_left(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with ScriptedEndpoint([SUBMIT]) as endpoint, pytest.raises(RepositoryError):
        drive_at(tmp_path, tmp_path / "nowhere", endpoint)
    assert list((tmp_path / "run").iterdir()) == []


def test_drive_when_the_request_names_the_whole_configuration_then_it_comes_back(tmp_path: Path) -> None:
    run = drive(tmp_path, SOLVE, steps=77, command_timeout=33.0)
    assert run.report.outcome is Ending.SUBMITTED
    stored = json.loads((tmp_path / "run" / "request.json").read_text())
    assert (stored["settings"]["steps"], stored["settings"]["command_timeout"]) == (77, 33.0)
    assert (stored["task"]["title"], Path(stored["repository"])) == ("total() is one too high", run.repository)
