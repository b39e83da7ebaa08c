"""Kill a job at one of its requests to the forge, start it again, and look at what stands there."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from click.testing import CliRunner

from ostro.cli.main import cli
from ostro.forge.protocol import ForgeKind
from tests.forge.ci_job import WRITE_TOKEN, CiJob, Event
from tests.forge.elsewhere import gitea_event, labelled, on_gitea, on_gitlab, variables
from tests.forge.fake.server import Fault, FaultKind, Recorded

DRAFTS = {"github": "draft #2", "gitlab": "draft !1", "gitea": "draft #2"}
TIMEOUT_S = 300


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


@dataclass
class Killed:
    """A job on one forge that is killed and started again.

    Attributes:
        more: variables of its environment, beside those of GitHub Actions.
    """

    kind: ForgeKind
    job: CiJob
    event: Event | None
    more: dict[str, str] = field(default_factory=dict[str, str])

    def at(self, point: Point, *arguments: str) -> None:
        """Run a command that the forge kills while it asks for something."""
        with self.job.start(*arguments, event=self.event, **self.more) as process:
            kind: FaultKind = "lost" if point.done else "cut"
            self.job.forge.faults.append(Fault(point.method, point.path, kind, skip=point.nth, strike=process.kill))
            process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == -signal.SIGKILL, f"{point} was never reached"
        self.job.forge.faults.clear()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.job.run(*arguments, event=self.event, **self.more)

    def publish_here(self) -> None:
        """Publish within this process, which costs no start of another one."""
        environment = self.job.environment(self.event, WRITE_TOKEN, self.more)
        with contextlib.chdir(self.job.folder / "job"):
            done = CliRunner().invoke(cli, ["pr", "publish"], env=environment)
        assert done.exit_code == 0, done.output

    def forget_everything(self) -> None:
        """Bring the forge back to where nothing had been published."""
        repository = self.job.repository
        self.job.forge.faults.clear()
        repository.pulls.clear()
        repository.comments.clear()
        repository.labels.intersection_update(self.job.issue.labels)
        for number in [number for number in repository.issues if number != self.job.issue.number]:
            del repository.issues[number]
        for branch in repository.branches():
            if branch != "main":
                repository.git("update-ref", "-d", f"refs/heads/{branch}")

    def assert_one_of_each(self) -> None:
        repository = self.job.repository
        assert repository.branches() == ["main", "ostro/issue-1"]
        assert repository.git("rev-list", "--count", "main..ostro/issue-1") == "1"
        (pull,) = repository.pulls.values()
        assert (pull.head, pull.draft) == ("ostro/issue-1", True)
        assert repository.issues[pull.number].labels == ["ostro-draft"]
        (comment,) = self.job.comments()
        assert DRAFTS[self.kind] in comment


def killed_on(kind: ForgeKind, job: CiJob) -> Killed:
    """Put a job on a forge, with an issue that was labelled."""
    if kind == "github":
        return Killed(kind, job, job.labelled())
    if kind == "gitea":
        on_gitea(job)
        job.forge.world.add_label(job.repository, 1, "ostro")
        return Killed(kind, job, gitea_event(job), {"GITHUB_API_URL": f"{job.forge.url}/api/v1"})
    on_gitlab(job)
    given = variables(job, labelled(job), {"OSTRO_FORGE_TOKEN": WRITE_TOKEN})
    names = ("GITLAB_CI", "CI_", "TRIGGER_", "OSTRO_FORGE_TOKEN")
    return Killed(kind, job, None, {name: text for name, text in given.items() if name.startswith(names)})


def every_point(requests: Iterable[Recorded]) -> Sequence[Point]:
    """Return each request as a point; what changes something twice, for the forge may have done it or not."""
    seen: Counter[tuple[str, str]] = Counter()
    points: list[Point] = []
    for asked in requests:
        nth, path = seen[asked.method, asked.path], re.escape(asked.path) + "$"
        seen[asked.method, asked.path] += 1
        changes = asked.method != "GET" and not asked.path.endswith("git-upload-pack")
        points += [Point(asked.method, path, done, nth) for done in ((False, True) if changes else (False,))]
    return points
