"""A job of GitHub Actions for tests: its environment, its event, and `ostro pr` in a process of its own.

Usage:
    with ci_job(tmp_path) as job:
        done = job.run("pr", event=job.labelled())
        assert job.repository.pulls
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from tests.driving import CHECK, SOLVE, Turn, make_repository
from tests.endpoint import FAULTS
from tests.forge.fake import FakeForge
from tests.forge.fake.description import Description
from tests.forge.fake.world import Issue, Repository, User

ROOT = Path(__file__).parent.parent.parent
READ_TOKEN = "ghs_rEaD0nLy7Kq2mZx9Wv4Tb8Nc"
WRITE_TOKEN = "ghs_wRiTe5Hj3Pd6Ly1Sg0Uf7Ra"
MODEL_KEY = "sk-m0deL4Vn8Qe2Xo6Ci9Bt1Mw5Zk"
CI_TOKEN = "github_pat_c1StArT5Qw8Zr2Xm7Lp"
SECRETS = (READ_TOKEN, WRITE_TOKEN, CI_TOKEN, MODEL_KEY)
TIMEOUT_S = 300

Event = tuple[str, Mapping[str, Any]]
"""Name and payload."""


@dataclass
class CiJob:
    """A forge with one repository and one issue, a scripted model, and the folder of a job."""

    folder: Path
    forge: FakeForge
    endpoint: ScriptedEndpoint
    repository: Repository
    issue: Issue
    settings: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def out(self) -> Path:
        return self.folder / "job" / "ostro-out"

    @property
    def summary(self) -> str:
        path = self.folder / "job" / "summary.md"
        return path.read_text() if path.exists() else ""

    @property
    def outputs(self) -> dict[str, str]:
        """The step's outputs, as the runner reads them."""
        path = self.folder / "job" / "outputs"
        lines = iter(path.read_text().splitlines() if path.exists() else ())
        found: dict[str, str] = {}
        for line in lines:
            name, _, delimiter = line.partition("<<")
            found[name] = "\n".join(iter(lines.__next__, delimiter))
        return found

    def environment(self, event: Event | None, token: str, more: Mapping[str, str]) -> dict[str, str]:
        """What a runner gives to a step, and nothing of ours."""
        job = self.folder / "job"
        job.mkdir(exist_ok=True)
        name, payload = event or ("", {})
        (job / "event.json").write_text(json.dumps(payload))
        kept = ("PATH", "HOME", "TMPDIR", "OSTRO_HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "DOCKER_HOST")
        return {
            **{key: os.environ[key] for key in kept if key in os.environ},
            "PYTHONPATH": str(ROOT / "typings"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(job / "event.json"),
            "GITHUB_REPOSITORY": self.repository.full_name,
            "GITHUB_API_URL": self.forge.api_url,
            "GITHUB_SERVER_URL": self.forge.url,
            "GITHUB_RUN_ID": "77",
            "GITHUB_ACTOR": "alice",
            "GITHUB_TOKEN": token,
            "GITHUB_STEP_SUMMARY": str(job / "summary.md"),
            "GITHUB_OUTPUT": str(job / "outputs"),
            "OSTRO_API_KEY": MODEL_KEY,
            "OSTRO_ENDPOINT": self.endpoint.url,
            "OSTRO_MODEL": "scripted",
            "OSTRO_PRICE": "0,0",
            "OSTRO_SANDBOX": "local",
            "OSTRO_SETUP": "true",
            "OSTRO_TEST": CHECK,
            **self.settings,
            **more,
        }

    def start(
        self, *arguments: str, event: Event | None = None, token: str = WRITE_TOKEN, **more: str
    ) -> subprocess.Popen[str]:
        """Start a command of Ostro in the job."""
        environment = self.environment(event, token, more)
        return subprocess.Popen(
            [sys.executable, "-m", "ostro.cli.main", *arguments],
            env=environment,
            cwd=self.folder / "job",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, event: Event | None = None, token: str = WRITE_TOKEN, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Ostro in the job to its end."""
        with self.start(*arguments, event=event, token=token, **more) as process:
            stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        assert "Traceback" not in stderr, stderr
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def labelled(self, *, by: str = "alice", label: str = "ostro") -> Event:
        """Somebody puts the label on the issue."""
        if label:
            self.forge.world.add_label(self.repository, self.issue.number, label, actor=by)
        about = {"number": self.issue.number, "title": self.issue.title, "body": self.issue.body}
        return "issues", self._event(by, action="labeled", label={"name": label}, issue=about)

    def commented(self, body: str, *, by: str = "alice", on: int | None = None) -> Event:
        """Somebody comments on the issue, or on a pull request."""
        number = on or self.issue.number
        self.forge.world.add_comment(self.repository, number, body, author=by)
        about: dict[str, Any] = {"number": number}
        if number in self.repository.pulls:
            about["pull_request"] = {"url": ""}
        return "issue_comment", self._event(by, action="created", comment={"body": body}, issue=about)

    def dispatched(self, issue: object, *, by: str = "alice") -> Event:
        """Somebody starts the workflow by hand."""
        return "workflow_dispatch", self._event(by, inputs={"issue": issue})

    def scheduled(self) -> Event:
        """The clock starts the workflow."""
        return "schedule", {"schedule": "0 4 * * *", "repository": self._repository()}

    def checks_failed(self, branch: str, commit: str) -> Event:
        """A workflow for a branch has failed."""
        run = {"conclusion": "failure", "head_branch": branch, "head_sha": commit,
               "head_repository": self._repository()}  # fmt: skip
        return "workflow_run", self._event("github-actions[bot]", action="completed", workflow_run=run)

    def comments(self) -> list[str]:
        """What Ostro says on the issue."""
        return [entry.body for entry in self.repository.comments
                if entry.issue == self.issue.number and entry.body.startswith("<!-- ostro")]  # fmt: skip

    def _event(self, by: str, **more: object) -> dict[str, Any]:
        user: User = self.forge.world.add_user(by, "Bot" if by.endswith("[bot]") else "User")
        sender = {"login": user.login, "id": user.id, "type": user.type}
        return {"sender": sender, "repository": self._repository(), **more}

    def _repository(self) -> dict[str, Any]:
        return {"full_name": self.repository.full_name, "default_branch": self.repository.default_branch}


@contextmanager
def ci_job(
    folder: Path, turns: Sequence[Turn] = SOLVE, *, description: Description | None = None, **settings: str
) -> Generator[CiJob]:
    """Give a job with a forge, a repository with the small bug of tests/driving, an issue about it, and a model."""
    with (
        FakeForge(folder / "forge", description=description) as forge,
        ScriptedEndpoint(turns, known_faults=FAULTS) as endpoint,
    ):
        repository = forge.world.add_repository(make_repository(folder / "source"))
        forge.world.add_token(READ_TOKEN, write=False)
        forge.world.add_token(WRITE_TOKEN)
        issue = forge.world.add_issue(
            repository, "total() is one too high", "total([1, 2]) gives 4 instead of 3.", author="reporter"
        )
        yield CiJob(
            folder, forge, endpoint, repository, issue, {f"OSTRO_{key.upper()}": settings[key] for key in settings}
        )
