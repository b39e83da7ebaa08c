"""A forge with one repository and one issue, seen in this process: no model, no sandbox, no child but git."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.outcome import Ending, TestedPatch, TestRun
from ostro.agent.record.redact import Redactor
from ostro.forge.api import Api
from ostro.forge.evidence import Evidence, Proposal
from ostro.forge.github_repository import GitHubRepository, github_api
from ostro.forge.job import Job
from ostro.forge.publish import Publication, forge_policy, publish
from tests.driving import git, make_repository
from tests.forge.fake import FakeForge
from tests.forge.fake.world import Repository

TOKEN = "ghs_iNpR0c3ss8Vw2Kq6Zt4Xm1Nb"
PATCH = (
    b"diff --git a/price.py b/price.py\n--- a/price.py\n+++ b/price.py\n@@ -1,2 +1,2 @@\n def total(prices):\n"
    b"-    return sum(prices) + 1\n+    return sum(prices)\n"
)


def added(path: str, text: str = "x\n") -> bytes:
    """A patch that adds one file."""
    lines = text.splitlines()
    body = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1,{len(lines)} @@\n{body}".encode()


def green_evidence(repository: Repository, patch: bytes = PATCH, /, **changes: Any) -> Evidence:
    """What a green run leaves."""
    facts: dict[str, Any] = {
        "kind": "run",
        "repository": repository.full_name,
        "issue": 1,
        "order": "0" * 64,
        "trigger": "label: fix",
        "actor": "alice",
        "actor_id": 7,
        "base_branch": "main",
        "base_commit": repository.head_of("main"),
        "branch": "ostro/issue-1",
        "run_id": "run-1",
        "model": "scripted",
        "outcome": Ending.SUBMITTED,
        "reason": "total() adds nothing any more",
        "proposal": Proposal(title="Let total() add nothing", summary="It added one.", changes=("price.py: no 1",)),
        "tests": TestedPatch(
            command="make test",
            source="flag",
            before=TestRun(status="red", exit_code=1),
            after=TestRun(status="green", exit_code=0, summary="ok"),
            verified=True,
        ),
        "files_changed": ("price.py",),
        "patch_sha256": hashlib.sha256(patch).hexdigest() if patch else "",
        "steps": 5,
        "finished_at": 1_800_000_000,
    }
    return Evidence.model_validate(facts | changes)


@dataclass
class Scene:
    """The forge, and what a job on it is given."""

    forge: FakeForge
    repository: Repository
    api: Api
    job: Job
    waited: list[float] = field(default_factory=list[float])

    @property
    def github(self) -> GitHubRepository:
        return GitHubRepository(self.job.repository, self.job.token, self.api, server_url=self.forge.url)

    def evidence(self, patch: bytes = PATCH, **changes: Any) -> Evidence:
        return green_evidence(self.repository, patch, **changes)

    def publish(self, patch: bytes = PATCH, **changes: Any) -> Publication:
        policy = forge_policy({}, Redactor([TOKEN]))
        return publish(self.job, self.github, self.evidence(patch, **changes), patch, policy)

    def commit_by_hand(self, branch: str, name: str = "by_hand.txt") -> str:
        """Somebody adds a commit to a branch."""
        clone = self.forge.folder / f"clone-{len(list(self.forge.folder.glob('clone-*')))}"
        git(self.forge.folder, "clone", "-q", "-b", branch, str(self.repository.git_dir), str(clone))
        (clone / name).write_text("mine\n")
        git(clone, "add", ".")
        git(clone, "commit", "-qm", "by hand")
        git(clone, "push", "-q", "origin", branch)
        return git(clone, "rev-parse", "HEAD")

    def comments(self) -> list[str]:
        return [entry.body for entry in self.repository.comments if entry.body.startswith("<!-- ostro")]

    def asking(self, name: str, payload: bytes = b"{}") -> Job:
        return replace(self.job, event=name, payload=payload)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    waited: list[float] = []
    with FakeForge(tmp_path / "forge") as forge:
        repository = forge.world.add_repository(make_repository(tmp_path / "source"))
        forge.world.add_token(TOKEN)
        forge.world.add_issue(repository, "total() is one too high", "It gives 4.", author="reporter")
        with github_api(forge.api_url, TOKEN, wait=waited.append) as api:
            job = Job(repository.full_name, token=TOKEN, api_url=forge.api_url, server_url=forge.url)
            yield Scene(forge, repository, api, job, waited)
