"""Where a job runs and what it is to do: its environment, the event, and whether the person who asks may ask.

cli/pr -> job.read_job, decide -> solve.py -> publish.py. Every trigger is checked against the API: the event alone
proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ostro.agent.errors import UsageError
from ostro.forge.event import EVENTS, MAX_EVENT_BYTES, Order, Skip, is_bot, issue_of_branch, read_event
from ostro.forge.gitlab_event import read_gitlab_event
from ostro.forge.marker import Marker, read_marker
from ostro.forge.protocol import Forge, ForgeKind, IssueState, Note, Pull

GITLAB = "gitlab"
"""The name that stands for every webhook of GitLab; the payload says which it is."""
LABEL = "ostro"
MAX_ROUNDS = 2
"""So many runs may failed checks start before a person is to look: one that cannot pass would start them forever."""
MAX_CANDIDATES = 30
MAX_SUFFIX = 20


@dataclass(frozen=True)
class Job:
    """Where a job runs, as the environment tells it.

    Attributes:
        event: name; "" outside of CI.
        payload: the event's JSON.
        issue: given on the command line, for a schedule and where no event names one.
        actor: who started it, for an issue given so.
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


@dataclass(frozen=True)
class Assignment:
    """One issue to work on, asked for by somebody who may.

    Attributes:
        actor: whose permission was checked.
        pull: our open pull request for the issue.
        follow_up: go on with the branch of `pull`.
        rounds: how many runs failed checks have started since a person asked, this one included.
    """

    order: Order
    issue: IssueState
    actor: str
    branch: str
    base_branch: str
    pull: Pull | None = None
    follow_up: bool = False
    rounds: int = 0


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


def decide(job: Job, forge: Forge) -> Assignment | Skip:
    """Say what the job is to do.

    Raises:
        ForgeError: the forge refuses or does not answer.
        UsageError: the event cannot be read.
    """
    order = _order(job)
    if isinstance(order, Skip):
        return order
    if order.pull is not None:
        return _for_pull(job, forge, order, forge.pull(order.pull))
    if order.trigger == "checks":
        own = [pull for pull in forge.pulls_of(order.branch) if pull.open]
        return _for_pull(job, forge, order, own[0]) if own else Skip(f"{order.branch} has no open pull request")
    if order.issue is not None:
        return _for_issue(job, forge, order)
    return _scheduled(job, forge, order)


def _order(job: Job) -> Order | Skip:
    if job.issue is not None and job.event == "schedule":
        return Order("schedule", issue=job.issue)
    if job.event == GITLAB:
        return read_gitlab_event(job.payload, label=job.label)
    if job.event in EVENTS:
        return read_event(job.event, job.payload, label=job.label)
    if job.issue is None:
        if not job.event:
            raise UsageError("there is no event", mend="Run it in a job of GitHub Actions, or give --issue.")
        return Skip(f"the event {job.event!r} starts nothing; docs/ci.md lists those that do")
    if not job.actor:
        raise UsageError("it is not known who asks", mend="Set GITHUB_ACTOR to your login.")
    return Order("dispatch", issue=job.issue, actor=job.actor)


def _scheduled(job: Job, forge: Forge, order: Order) -> Assignment | Skip:
    """Take the oldest labelled issue that was never worked on."""
    for number in forge.labelled(job.label)[:MAX_CANDIDATES]:
        if own_note(forge.notes(number), number) is not None:
            continue
        found = _for_issue(job, forge, replace(order, issue=number))
        if isinstance(found, Assignment):
            return found
    return Skip(f"no open issue with the label {job.label!r} waits for a run")


def _for_issue(job: Job, forge: Forge, order: Order) -> Assignment | Skip:
    number = order.issue
    assert number is not None
    actor = order.actor or forge.who_labelled(number, job.label)
    refusal = _refusal(forge, actor)
    if refusal:
        return Skip(refusal)
    state = forge.issue_state(number)
    refusal = _closed_to_us(state, actor) or _withdrawn(job, order, state)
    if refusal:
        return Skip(refusal)
    own = own_pulls(forge, number)
    merged = next((pull for pull in own if pull.merged), None)
    if merged is not None:
        return Skip(f"#{merged.number} for issue #{number} is merged already")
    opened = next((pull for pull in own if pull.open), None)
    if own and opened is None and order.command == "fix":
        return Skip(f"#{own[0].number} for issue #{number} was closed; the comment `/ostro retry` starts anew")
    return Assignment(
        order=order,
        issue=state,
        actor=actor,
        branch=opened.head_branch if opened else f"ostro/issue-{number}",
        base_branch=opened.base_branch if opened else forge.default_branch(),
        pull=opened,
    )


def _for_pull(job: Job, forge: Forge, order: Order, pull: Pull) -> Assignment | Skip:
    """Work on our own draft: its branch, its issue."""
    issue, marker = issue_of_branch(pull.head_branch), read_marker(pull.body)
    if not pull.from_here:
        return Skip(f"pull request #{pull.number} comes from a fork; Ostro works on its own drafts only")
    if issue is None or marker is None or marker.kind != "pull" or marker.issue != issue:
        return Skip(f"#{pull.number} is not a draft of Ostro")
    actor = order.actor or marker.ordered_by
    refusal = _refusal(forge, actor) or ("" if pull.open else f"#{pull.number} is closed")
    rounds = marker.rounds + 1 if order.trigger == "checks" else 0
    if order.trigger == "checks" and not refusal:
        refusal = _no_more_rounds(forge, order, pull, issue, rounds)
    if refusal:
        return Skip(refusal)
    if order.command == "retry":
        return _for_issue(job, forge, replace(order, issue=issue))
    state = forge.issue_state(issue)
    refusal = _closed_to_us(state, actor)
    return Skip(refusal) if refusal else Assignment(
        order=replace(order, issue=issue),
        issue=state,
        actor=actor,
        branch=pull.head_branch,
        base_branch=pull.base_branch,
        pull=pull,
        follow_up=order.command == "fix",
        rounds=rounds,
    )  # fmt: skip


def _no_more_rounds(forge: Forge, order: Order, pull: Pull, issue: int, rounds: int) -> str:
    if pull.head_commit != order.failed_commit:
        return f"the failed checks are not those of the newest commit of #{pull.number}"
    if rounds > MAX_ROUNDS:
        return f"{MAX_ROUNDS} runs for failed checks of #{pull.number} did not help; a person should look"
    note = own_note(forge.notes(issue), issue)
    marker = read_marker(note.body) if note is not None else None
    return "`/ostro stop` was the last command" if marker is not None and marker.stopped else ""


def _refusal(forge: Forge, actor: str) -> str:
    """Say why somebody may not start a run; "" for somebody who may."""
    if not actor:
        return "nobody is known who asked for it"
    if is_bot(actor):
        return f"{actor} is a bot; bots start nothing"
    if not forge.may_write(actor):
        return f"{actor} has no write permission in {forge.repository}"
    return ""


def _closed_to_us(state: IssueState, actor: str) -> str:
    others = [login for login in state.assignees if login != actor and not is_bot(login)]
    if state.is_pull:
        return f"#{state.number} is a pull request, not an issue"
    if not state.open:
        return f"issue #{state.number} is closed"
    if state.locked:
        return f"issue #{state.number} is locked"
    if state.confidential:
        return f"issue #{state.number} is confidential; a branch and a draft would show it to everybody"
    if others:
        return f"issue #{state.number} is assigned to {others[0]}"
    return ""


def _withdrawn(job: Job, order: Order, state: IssueState) -> str:
    """Say that whoever labelled the issue, or somebody after them, thought better of it before the job began."""
    gone = order.trigger == "label" and job.label not in state.labels
    return f"the label {job.label!r} was taken off issue #{state.number} meanwhile" if gone else ""


def own_pulls(forge: Forge, issue: int) -> tuple[Pull, ...]:
    """Return the pull requests of our branches for an issue, newest first."""
    found: list[Pull] = []
    for number in range(1, MAX_SUFFIX):
        of_branch = forge.pulls_of(f"ostro/issue-{issue}" + (f"-{number}" if number > 1 else ""))
        if not of_branch and number > 1:  # the plain name may be a branch of a person's own, without a pull request
            break
        found += of_branch
    return tuple(sorted(found, key=lambda pull: -pull.number))


def own_note(notes: tuple[Note, ...], issue: int) -> Note | None:
    """Return our comment on an issue: the oldest that begins with the marker and is by somebody we trust."""
    for note in notes:
        marker: Marker | None = read_marker(note.body) if note.trusted else None
        if marker is not None and marker.kind == "status" and marker.issue == issue:
            return note
    return None
