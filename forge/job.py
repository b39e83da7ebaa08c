"""Where a job runs, as its environment tells it: GitHub Actions, those of Gitea and Forgejo, or GitLab CI.

cli/pr -> read_job -> decide.py -> solve.py -> publish.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ostro.agent.errors import UsageError
from ostro.forge.event import EVENTS, MAX_EVENT_BYTES
from ostro.forge.protocol import ForgeKind

GITLAB = "gitlab"
"""The name that stands for every webhook of GitLab; the payload says which it is."""
LABEL = "ostro"


@dataclass(frozen=True)
class Job:
    """Where a job runs, as the environment tells it.

    Attributes:
        event: name; "" outside of CI.
        payload: the event's JSON.
        issue: given on the command line, for a schedule and where no event names one.
        actor: who started it, for an issue given so.
        token: for the forge.
        ci_token: whose pushes start CI, where those with `token` do not; "" for none.
        run_url: web address of the job's log; "" where there is none.
        summary: file of the step summary; None where there is none.
        outputs: file of the step's outputs.
    """

    repository: str
    event: str = ""
    payload: bytes = b""
    issue: int | None = None
    actor: str = ""
    token: str = field(default="", repr=False)
    ci_token: str = field(default="", repr=False)
    kind: ForgeKind = "github"
    api_url: str = "https://api.github.com"
    server_url: str = "https://github.com"
    run_url: str = ""
    summary: Path | None = None
    outputs: Path | None = None
    label: str = LABEL

    def order_digest(self, issue: int) -> str:
        """Return what tells two orders apart."""
        parts = (self.repository, self.event, str(issue), self.run_url.split("/attempts/")[0])
        return hashlib.sha256("\0".join(parts).encode() + b"\0" + self.payload).hexdigest()


def read_job(environ: Mapping[str, str], *, repository: str = "", issue: int | None = None, label: str = LABEL) -> Job:
    """Read the environment of a job: GitHub Actions, those of Gitea and Forgejo, which are alike, or GitLab CI.

    Names of variables: docs.github.com, default environment variables; docs.gitlab.com, predefined CI/CD variables.

    Raises:
        UsageError: something is missing, or the event cannot be read.
    """
    if environ.get("GITLAB_CI"):
        return _gitlab_job(environ, repository=repository, issue=issue, label=label)
    repository = repository or environ.get("GITHUB_REPOSITORY", "")
    if "/" not in repository:
        known = f"{repository!r} does not say" if repository else "it is not known"
        raise UsageError(
            f"{known} which repository is meant", mend="Give --repository OWNER/NAME, or set GITHUB_REPOSITORY."
        )
    event = environ.get("GITHUB_EVENT_NAME", "")
    server_url = environ.get("GITHUB_SERVER_URL") or "https://github.com"
    api_url = environ.get("OSTRO_GITHUB_API") or environ.get("GITHUB_API_URL") or "https://api.github.com"
    run = environ.get("GITHUB_RUN_ID", "")
    return Job(
        repository=repository,
        event=event,
        payload=_payload(environ.get("GITHUB_EVENT_PATH", "")) if event in EVENTS else b"",
        issue=issue,
        actor=environ.get("GITHUB_ACTOR", ""),
        token=environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or "",
        ci_token=environ.get("OSTRO_CI_TOKEN", ""),
        kind="gitea" if api_url.rstrip("/").endswith("/api/v1") else "github",
        api_url=api_url,
        server_url=server_url,
        run_url=f"{server_url}/{repository}/actions/runs/{run}" if run.isdecimal() else "",
        summary=Path(environ["GITHUB_STEP_SUMMARY"]) if environ.get("GITHUB_STEP_SUMMARY") else None,
        outputs=Path(environ["GITHUB_OUTPUT"]) if environ.get("GITHUB_OUTPUT") else None,
        label=label,
    )


def _gitlab_job(environ: Mapping[str, str], *, repository: str, issue: int | None, label: str) -> Job:
    given = environ.get("OSTRO_ISSUE", "")
    if given and not (given.isascii() and given.isdecimal()):
        raise UsageError("OSTRO_ISSUE is no number of an issue")
    payload = environ.get("TRIGGER_PAYLOAD", "")
    scheduled = environ.get("CI_PIPELINE_SOURCE") == "schedule"
    server_url = environ.get("CI_SERVER_URL") or "https://gitlab.com"
    return Job(
        repository=repository or environ.get("CI_PROJECT_PATH", ""),
        kind="gitlab",
        event=GITLAB if payload else "schedule" if scheduled else "",
        payload=_payload(payload) if payload else b"",
        issue=issue if issue is not None else int(given) if given else None,
        actor=environ.get("GITLAB_USER_LOGIN", ""),
        token=environ.get("OSTRO_FORGE_TOKEN") or environ.get("GITLAB_TOKEN") or "",
        ci_token=environ.get("OSTRO_CI_TOKEN", ""),
        api_url=environ.get("CI_API_V4_URL") or f"{server_url}/api/v4",
        server_url=server_url,
        run_url=environ.get("CI_JOB_URL", ""),
        label=label,
    )


def _payload(path: str) -> bytes:
    if not path:
        raise UsageError("GITHUB_EVENT_PATH is not set", mend="Run it in a job of GitHub Actions, or give --issue.")
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_EVENT_BYTES)
    except OSError as error:
        raise UsageError(f"the event {path} cannot be read: {error.strerror}") from error
