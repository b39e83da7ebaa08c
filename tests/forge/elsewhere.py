"""GitLab and Gitea for tests: whose the tokens are, and what their jobs are given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.forge.ci_job import READ_TOKEN, WRITE_TOKEN, CiJob, Event
from tests.forge.playing import install

READER, WRITER = "project_7_bot_0a1b2c", "project_7_bot_3d4e5f"


def on_gitlab(job: CiJob) -> None:
    """Give the tokens to users of a project, as GitLab makes them."""
    world = job.forge.world
    for token, login, write in ((READ_TOKEN, READER, False), (WRITE_TOKEN, WRITER, True)):
        world.add_user(login)
        world.add_token(token, login, write=write)
        job.repository.permissions[login] = "write" if write else "read"


def on_gitea(job: CiJob) -> None:
    """Give the token to a user of its own, who is told who may write."""
    job.forge.world.add_user("ostro-bot")
    job.forge.world.add_token(WRITE_TOKEN, "ostro-bot")
    job.repository.permissions["ostro-bot"] = "admin"


def gitea_event(job: CiJob, *, by: str = "alice") -> Event:
    """Somebody changed the labels of the issue: which one, Gitea does not say."""
    name, payload = job.labelled(by=by, label="")
    labels = [{"id": 3, "name": label} for label in job.issue.labels]
    return name, {**payload, "action": "label_updated", "issue": {"number": 1, "labels": labels}}


def variables(job: CiJob, payload: Mapping[str, Any] | None, more: Mapping[str, str]) -> dict[str, str]:
    """What GitLab gives to every job of the pipeline."""
    kept = {key: value for key, value in job.environment(None, "", {}).items() if not key.startswith("GITHUB_")}
    found = {
        **kept,
        "PATH": f"{install(job.folder / 'installed')}:{kept['PATH']}",
        "GITLAB_CI": "true",
        "CI_SERVER_URL": job.forge.url,
        "CI_API_V4_URL": f"{job.forge.url}/api/v4",
        "CI_PROJECT_PATH": job.repository.full_name,
        "CI_JOB_URL": f"{job.forge.url}/acme/widget/-/jobs/9",
        "CI_PIPELINE_SOURCE": "trigger",
        "OSTRO_READ_TOKEN": READ_TOKEN,
        "OSTRO_WRITE_TOKEN": WRITE_TOKEN,
        **more,
    }
    if payload is not None:
        path = job.folder / "job" / "payload.json"
        path.write_text(json.dumps(payload), "utf-8")
        found["TRIGGER_PAYLOAD"] = str(path)
    return found


def person(job: CiJob, login: str) -> dict[str, Any]:
    return {"id": job.forge.world.add_user(login).id, "username": login}


def webhook(job: CiJob, kind: str, by: str, **more: Any) -> dict[str, Any]:
    project = {"path_with_namespace": job.repository.full_name}
    return {"object_kind": kind, "user": person(job, by), "project": project, **more}


def labelled(job: CiJob, *, by: str = "alice") -> dict[str, Any]:
    job.forge.world.add_label(job.repository, 1, "ostro", actor=by)
    label = {"id": 3, "title": "ostro"}
    about = {"iid": 1, "action": "update", "state": "opened", "title": job.issue.title}
    return webhook(
        job,
        "issue",
        by,
        object_attributes=about,
        labels=[label],
        changes={"labels": {"previous": [], "current": [label]}},
    )
