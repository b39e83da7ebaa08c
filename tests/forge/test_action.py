"""action.yml and the workflow templates, played as a runner does: from each trigger to a draft, again, and hostile."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.driving import FIX, SUBMIT, bash
from tests.forge.ci_job import CI_TOKEN, MODEL_KEY, READ_TOKEN, SECRETS, WRITE_TOKEN, CiJob, Event, ci_job
from tests.forge.fake.description import github_description
from tests.forge.playing import ROOT, Played, action, play, workflow

TEMPLATES = ("github-single.yml", "github-two-jobs.yml")
PERMISSIONS = {"accept": {"issues"}, "solve": set[str](), "publish": {"contents", "issues", "pull-requests"},
               "ostro": {"contents", "issues", "pull-requests"}}  # fmt: skip


def steps_with_the_action(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for step in job["steps"] if step.get("uses", "").startswith("your-organisation/ostro@")]


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_when_read_then_permissions_are_least_and_versions_pinned(name: str) -> None:
    found = workflow(name)
    assert found["permissions"] == {}
    for job_name, job in found["jobs"].items():
        written = {scope for scope, level in job["permissions"].items() if level == "write"}
        assert written == PERMISSIONS[job_name]
        for step in job["steps"]:
            assert len(step["uses"].rpartition("@")[2]) == 40
            assert "run" not in step
        for step in steps_with_the_action(job):
            assert set(step.get("with", {})) <= set(action()["inputs"])
            has_key = "api-key" in step.get("with", {})
            assert has_key == (job_name in ("solve", "ostro"))


def test_action_when_read_then_no_expression_stands_in_a_script() -> None:
    found = action()
    assert all("${{" not in step["run"] for step in found["runs"]["steps"])
    assert all(about["description"] for about in found["inputs"].values())


def test_action_when_a_key_is_given_then_every_catalogued_endpoint_finds_it() -> None:
    endpoints = tomllib.loads((ROOT / "agent" / "model" / "catalogue.toml").read_text())["endpoints"]
    script = action()["runs"]["steps"][-1]["run"]
    listed = re.search(r"for name in ([A-Z_ ]+); do export \"\${name}_API_KEY", script)
    assert listed is not None
    wanted = {about["key_variables"][0] for about in endpoints.values() if about.get("key_variables")}
    assert wanted == {f"{name}_API_KEY" for name in listed[1].split()}


def check_draft(job: CiJob, played: Played) -> None:
    """Everything that the trigger owes, once."""
    assert played.code == 0, played.log
    (number,) = job.repository.pulls
    pull, about = job.repository.pulls[number], job.repository.issues[number]
    assert (pull.head, pull.base, pull.draft, about.labels) == ("ostro/issue-1", "main", True, ["ostro-draft"])
    assert job.repository.branches() == ["main", "ostro/issue-1"]
    assert job.repository.git("show", "ostro/issue-1:price.py").endswith("return sum(prices)")
    assert "Fixes #1" in about.body
    assert len(job.comments()) == 1
    assert (played.outputs["status"], played.outputs["pull-request"]) == ("pull", str(number))


def triggers(job: CiJob) -> list[Event]:
    job.forge.world.add_label(job.repository, 1, "ostro")
    return [job.labelled(), job.commented("/ostro fix please"), job.dispatched("1")]


def everything_written(job: CiJob, *logs: str) -> bytes:
    files = b"".join(path.read_bytes() for path in (job.folder / "job").rglob("*") if path.is_file())
    texts = "".join([*logs, *(entry.body for entry in job.repository.comments)])
    return files + "".join(issue.body for issue in job.repository.issues.values()).encode() + texts.encode()


@pytest.mark.slow
def test_action_when_every_trigger_is_played_then_one_draft_stands_there(tmp_path: Path) -> None:
    with ci_job(tmp_path, description=github_description()) as job:
        logs = []
        for event in triggers(job):
            played = play(job, event, {"api-key": MODEL_KEY, "sandbox": "local"}, token=WRITE_TOKEN)
            check_draft(job, played)
            logs.append(played.log)
        assert job.forge.deviations == []
        written = everything_written(job, *logs)
        assert [secret for secret in SECRETS if secret.encode() in written] == []


@pytest.mark.slow
def test_workflow_of_separate_jobs_when_the_schedule_plays_it_then_the_tokens_stay_apart(tmp_path: Path) -> None:
    with ci_job(tmp_path, description=github_description()) as job:
        job.forge.world.add_label(job.repository, 1, "ostro")
        event = job.scheduled()
        accepted = play(job, event, {"command": "accept"}, token=WRITE_TOKEN)
        assert (accepted.outputs["issue"], "accepted" in job.comments()[0]) == ("1", True)
        issue = accepted.outputs["issue"]
        before = len(job.forge.writes())
        given = {"command": "solve", "api-key": MODEL_KEY, "sandbox": "local", "issue": issue}
        solved = play(job, event, given, token=READ_TOKEN)
        assert (solved.code, solved.outputs["skipped"], len(job.forge.writes())) == (0, "false", before), solved.log
        published = play(job, event, {"command": "publish", "issue": issue}, token=WRITE_TOKEN)
        check_draft(job, published)
        assert job.forge.deviations == []


@pytest.mark.slow
def test_action_when_a_second_token_is_given_then_ci_starts_and_no_other_part_has_it(tmp_path: Path) -> None:
    with ci_job(tmp_path) as job:
        job.forge.world.add_user("ci-starter")
        job.forge.world.add_token(CI_TOKEN, "ci-starter")
        job.repository.permissions["ci-starter"] = "write"
        event = job.labelled()
        solve = {"command": "solve", "api-key": MODEL_KEY, "sandbox": "local", "ci-token": CI_TOKEN}
        assert play(job, event, solve, token=READ_TOKEN).code == 0
        for _ in range(2):
            played = play(job, event, {"command": "publish", "ci-token": CI_TOKEN}, token=WRITE_TOKEN)
            check_draft(job, played)
            subjects = job.repository.git("log", "--format=%s", "main..ostro/issue-1").splitlines()
            assert (len(subjects), subjects[0]) == (2, "ci: start the checks")
            assert "CI starts" not in played.log
        pushed = [asked.login for asked in job.forge.requests if asked.path.endswith("git-receive-pack")]
        assert pushed == ["github-actions[bot]", "ci-starter"]
        assert [secret for secret in SECRETS if secret.encode() in everything_written(job, played.log)] == []


@pytest.mark.slow
@pytest.mark.docker
def test_action_when_played_in_docker_then_the_same_draft_stands_there(tmp_path: Path, docker_image: str) -> None:
    with ci_job(tmp_path, image=docker_image) as job:
        played = play(job, job.labelled(), {"api-key": MODEL_KEY, "sandbox": "docker"}, token=WRITE_TOKEN)
        check_draft(job, played)


LOOK = bash(
    "env | sort; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; find / -name 'config' -path '*git*' "
    "-exec cat {} + 2>/dev/null; cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '"
)


@pytest.mark.slow
def test_token_when_the_agent_looks_everywhere_then_it_is_nowhere(tmp_path: Path) -> None:
    with ci_job(tmp_path, (LOOK, FIX, SUBMIT, SUBMIT)) as job:
        played = play(job, job.labelled(), {"api-key": MODEL_KEY, "sandbox": "local"}, token=WRITE_TOKEN)
        check_draft(job, played)
        sent = repr([request.body for request in job.endpoint.requests]).encode()
        written = everything_written(job, played.log) + sent
        assert [secret for secret in SECRETS if secret.encode() in written] == []


@pytest.mark.slow
def test_action_when_the_model_fails_then_the_comment_says_what_to_do(tmp_path: Path) -> None:
    with ci_job(tmp_path, (FIX, {"fault": "401"})) as job:
        played = play(job, job.labelled(), {"api-key": MODEL_KEY, "sandbox": "local"}, token=WRITE_TOKEN)
        assert (played.code, played.outputs["status"]) == (0, "salvaged"), played.log
        assert "`model_error`" in job.comments()[0]
        assert job.repository.git("show", "ostro/issue-1-salvage:price.py").endswith("return sum(prices)")


HOSTILE = [
    ("outsider's label", lambda job: job.labelled(by="stranger"), "has no write permission"),
    ("bot", lambda job: job.labelled(by="helper[bot]"), "is a bot"),
    ("injected comment", lambda job: job.commented("hi\n/ostro fix"), "begins with no command"),
    ("command in an input", lambda job: job.dispatched("1; touch x"), "no number of an issue"),
]


@pytest.mark.parametrize(("event", "said"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_action_when_the_event_is_hostile_then_one_line_says_that_it_is_skipped(
    tmp_path: Path, event: Any, said: str
) -> None:
    with ci_job(tmp_path) as job:
        played = play(job, event(job), {"api-key": MODEL_KEY}, token=WRITE_TOKEN)
        assert (played.code, played.outputs["skipped"]) == (0, "true")
        assert said in played.log
        assert len(played.log.splitlines()) == 1
        assert job.forge.writes() == []
        assert job.endpoint.requests == []
