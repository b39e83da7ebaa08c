"""What an event of the forge asks for: an order for one issue, or nothing.

decide.py -> read_event. An event says only what somebody did; whether that person may is asked of the API, and every
text of it is data. Shapes: docs.github.com, webhook events and payloads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ostro.agent.errors import UsageError
from ostro.forge.misshapen import first_problem

Command = Literal["fix", "retry", "stop"]
Trigger = Literal["label", "comment", "review", "checks", "dispatch", "schedule"]

MAX_EVENT_BYTES = 25 * 1024 * 1024  # the most that GitHub delivers
WISHES_CHARS = 16_000
JOB_USERS = frozenset({"gitea-actions", "forgejo-actions"})
"""Who the token of a job speaks for on Gitea and on Forgejo."""

_COMMAND = re.compile(r"/ostro[ \t]+(?P<verb>fix|retry|stop)(?![\w-])[ \t]*(?P<wishes>.*)", re.DOTALL)
_TOKEN_USER = re.compile(r"(?:project|group)_[0-9]+_bot(?:_[0-9a-f]+)?")
_OUR_BRANCH = re.compile(r"ostro/issue-(?P<number>[0-9]{1,18})(?:-[0-9]{1,3})?")


@dataclass(frozen=True)
class Order:
    """Somebody asks for something.

    Attributes:
        issue: None where the schedule leaves the choice, and where only the pull request is known.
        actor: login; "" where the event names nobody who could have asked (schedule, checks).
        pull: the pull request that was commented on, or whose checks failed.
        wishes: what the comment says behind the command, untrusted.
        failed_commit: the commit whose checks failed.
        issue_text: title and body at the time of the event; None where it has none.
        note: id of the comment that asks, where the event has to be checked against it; else 0.
    """

    trigger: Trigger
    command: Command = "fix"
    issue: int | None = None
    pull: int | None = None
    actor: str = ""
    actor_id: int = 0
    wishes: str = ""
    branch: str = ""
    failed_commit: str = ""
    issue_text: str | None = None
    note: int = 0


@dataclass(frozen=True)
class Skip:
    """Nothing is to be done, and why: one line."""

    reason: str


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _User(_Wire):
    login: str = ""
    id: int = 0
    type: str = "User"


class _Named(_Wire):
    name: str = ""


class _Repository(_Wire):
    full_name: str = ""


class _Numbered(_Wire):
    number: int
    title: str | None = None
    body: str | None = None
    pull_request: dict[str, object] | None = None
    labels: list[_Named] | None = None

    @property
    def text(self) -> str | None:
        return None if self.title is None else issue_text(self.title, self.body)

    @property
    def label_names(self) -> set[str]:
        """Gitea's event does not say which label was put on."""
        return {label.name for label in self.labels or ()}


class _Head(_Wire):
    ref: str = ""
    repo: _Repository | None = None


class _PullRequest(_Wire):
    number: int
    head: _Head = _Head()


class _Said(_Wire):
    body: str | None = None


class _Checked(_Wire):
    conclusion: str | None = None
    head_branch: str | None = None
    head_sha: str = ""
    head_repository: _Repository | None = None


class _Event(_Wire):
    action: str = ""
    label: _Named = _Named()
    sender: _User = _User()
    repository: _Repository = _Repository()
    issue: _Numbered | None = None
    pull_request: _PullRequest | None = None
    comment: _Said = _Said()
    review: _Said = _Said()
    inputs: dict[str, object] | None = Field(default=None)
    workflow_run: _Checked | None = None
    check_suite: _Checked | None = None


def read_event(name: str, payload: bytes, *, label: str) -> Order | Skip:
    """Say what an event asks for.

    Args:
        name: of the event, as GITHUB_EVENT_NAME has it; one of `EVENTS`.
        payload: its JSON.
        label: the label that starts a run.

    Raises:
        UsageError: it is no event of that name.
    """
    try:
        event = _Event.model_validate_json(payload or b"{}")
    except ValidationError as error:
        raise unreadable(name, error) from error
    found = EVENTS[name](event, label)
    if (
        isinstance(found, Order)
        and found.trigger != "checks"
        and (event.sender.type == "Bot" or is_bot(event.sender.login))
    ):
        return Skip(f"{event.sender.login} is a bot; bots start nothing")
    return found


def unreadable(name: str, error: ValidationError) -> UsageError:
    """Return what is to be said of a payload that is no event."""
    return UsageError(f"the event {name} cannot be read: {first_problem(error)}")


def parse_command(text: str) -> tuple[Command, str] | None:
    """Return the command that a comment begins with, and what follows it; None for an ordinary comment."""
    match = _COMMAND.match(text.strip())
    if match is None:
        return None
    verbs: dict[str, Command] = {"fix": "fix", "retry": "retry", "stop": "stop"}
    return verbs[match["verb"]], match["wishes"].strip()[:WISHES_CHARS]


def issue_of_branch(branch: str) -> int | None:
    """Return the issue that one of our branches is for; None for a branch of others."""
    match = _OUR_BRANCH.fullmatch(branch)
    return int(match["number"]) if match is not None else None


def issue_text(title: str, body: str | None) -> str:
    """Return title and body as one text, alike for an event and for the API."""
    return f"{title}\n\n{body or ''}".replace("\r\n", "\n")


def is_bot(login: str) -> bool:
    """Whether a login is one of a bot: an app of GitHub, the jobs of Gitea or Forgejo, an access token of GitLab."""
    return login.endswith("[bot]") or login in JOB_USERS or _TOKEN_USER.fullmatch(login) is not None


def _labelled(event: _Event, label: str) -> Order | Skip:
    gitea = event.action == "label_updated" and event.issue is not None and label in event.issue.label_names
    if not gitea and (event.action != "labeled" or event.label.name != label):
        return Skip(f"only the label {label!r} starts a run")
    if event.issue is None:
        return Skip("the event names no issue")
    return Order(
        "label",
        issue=event.issue.number,
        actor=event.sender.login,
        actor_id=event.sender.id,
        issue_text=event.issue.text,
    )


def _commented(event: _Event, _: str) -> Order | Skip:
    command = parse_command(event.comment.body or "")
    if event.action != "created" or command is None or event.issue is None:
        return Skip("the comment begins with no command: /ostro fix, /ostro retry or /ostro stop")
    on_pull = event.issue.pull_request is not None
    return Order(
        "comment",
        command=command[0],
        wishes=command[1],
        issue=None if on_pull else event.issue.number,
        pull=event.issue.number if on_pull else None,
        actor=event.sender.login,
        actor_id=event.sender.id,
        issue_text=None if on_pull else event.issue.text,
    )


def _reviewed(event: _Event, _: str) -> Order | Skip:
    command = parse_command(event.review.body or "")
    pull = event.pull_request
    if event.action != "submitted" or command is None or pull is None:
        return Skip("the review begins with no command: /ostro fix, /ostro retry or /ostro stop")
    if pull.head.repo is None or pull.head.repo.full_name != event.repository.full_name:
        return Skip(f"pull request #{pull.number} comes from a fork; Ostro works on its own drafts only")
    return Order(
        "review",
        command=command[0],
        wishes=command[1],
        pull=pull.number,
        branch=pull.head.ref,
        actor=event.sender.login,
        actor_id=event.sender.id,
    )


def _dispatched(event: _Event, _: str) -> Order | Skip:
    given = str((event.inputs or {}).get("issue") or "").strip().removeprefix("#")
    if not (given.isascii() and given.isdecimal()) or not 0 < len(given) <= 18:
        return Skip("the input `issue` is no number of an issue")
    return Order("dispatch", issue=int(given), actor=event.sender.login, actor_id=event.sender.id)


def _checked(event: _Event, _: str) -> Order | Skip:
    found = event.workflow_run or event.check_suite
    if found is None or event.action != "completed" or found.conclusion not in ("failure", "timed_out"):
        return Skip("no check has failed")
    if found.head_repository is not None and found.head_repository.full_name != event.repository.full_name:
        return Skip("the checks are those of a fork; Ostro works on its own drafts only")
    branch = found.head_branch or ""
    issue = issue_of_branch(branch)
    if issue is None:
        return Skip("the checks are not those of a draft of Ostro")
    return Order("checks", issue=issue, branch=branch, failed_commit=found.head_sha)


def _scheduled(_: _Event, __: str) -> Order | Skip:
    return Order("schedule")


EVENTS: dict[str, Callable[[_Event, str], Order | Skip]] = {
    "issues": _labelled,
    "issue_comment": _commented,
    "pull_request_review": _reviewed,
    "workflow_dispatch": _dispatched,
    "workflow_run": _checked,
    "check_suite": _checked,
    "schedule": _scheduled,
}
"""The events that can start something, by name."""
