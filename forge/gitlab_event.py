"""What a webhook of GitLab asks for, in a pipeline that it triggered. Shapes: docs.gitlab.com, webhook events.

GitLab starts no pipeline for an issue or a comment by itself: a webhook of the project does, and the job finds its
payload in the file that TRIGGER_PAYLOAD names (docs/ci.md). Whoever has the trigger token can send any payload, so it
is taken for a hint: `confirmed` asks the forge who did what it tells of.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ostro.forge.event import Order, Skip, issue_of_branch, parse_command, unreadable
from ostro.forge.protocol import Forge

MAX_AGE = timedelta(days=1)
"""A pipeline may wait so long for its runner, or be started again."""


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _User(_Wire):
    username: str = ""


class _Label(_Wire):
    title: str = ""


class _LabelChange(_Wire):
    previous: list[_Label] = Field(default_factory=list[_Label])
    current: list[_Label] = Field(default_factory=list[_Label])


class _Changes(_Wire):
    labels: _LabelChange | None = None


class _Project(_Wire):
    path_with_namespace: str = ""


class _Numbered(_Wire):
    iid: int
    source_branch: str = ""
    source: _Project = _Project()
    target: _Project = _Project()


class _Attributes(_Wire):
    id: int | None = None
    iid: int | None = None
    action: str = ""
    note: str = ""
    noteable_type: str = ""
    ref: str = ""
    sha: str = ""
    status: str = ""


class _Event(_Wire):
    """What is read of a payload."""

    object_kind: str = ""
    user: _User = _User()
    project: _Project = _Project()
    object_attributes: _Attributes = _Attributes()
    changes: _Changes = _Changes()
    labels: list[_Label] = Field(default_factory=list[_Label])
    issue: _Numbered | None = None
    merge_request: _Numbered | None = None


def read_gitlab_event(payload: bytes, *, label: str) -> Order | Skip:
    """Say what a payload asks for; who asks is checked later.

    Raises:
        UsageError: it is no payload of a webhook.
    """
    try:
        event = _Event.model_validate_json(payload)
    except ValidationError as error:
        raise unreadable("of the webhook", error) from error
    readers = {"issue": _labelled, "note": _commented, "pipeline": _checked}
    reader = readers.get(event.object_kind)
    if reader is None:
        return Skip("this webhook starts nothing; docs/ci.md lists those that do")
    return reader(event, label)


def confirmed(order: Order, forge: Forge, *, label: str) -> Order | Skip:
    """Return the order as the forge itself knows it: who put the label on, who wrote the comment and what it says.

    What is older than `MAX_AGE` is refused, as somebody may send the payload of long ago again.

    Raises:
        ForgeError: the forge refuses or does not answer.
    """
    if order.trigger == "checks":
        failed = forge.failed_checks(order.failed_commit)
        return order if failed else Skip(f"no job of {order.failed_commit[:12]} has failed")
    if order.trigger == "label" and order.issue is not None:
        actor = forge.who_labelled(order.issue, label, since=datetime.now(UTC) - MAX_AGE)
        return _by_person(replace(order, actor=actor))
    number = order.pull or order.issue or 0
    notes = forge.notes(number, of_pull=order.pull is not None)
    said = next((note for note in notes if note.id == order.note), None)
    command = parse_command(said.body) if said is not None else None
    if said is None or command is None:
        return Skip("the comment is not there: it was deleted or changed, is internal, or never was")
    if said.written is not None and said.written < datetime.now(UTC) - MAX_AGE:
        return Skip("the comment is older than a day; comment again")
    return _by_person(replace(order, actor=said.author, command=command[0], wishes=command[1]))


def _by_person(order: Order) -> Order | Skip:
    """Refuse what nobody did: an order without a name would be taken for one of the schedule."""
    return order if order.actor else Skip("nobody is known who asked for it within the last day")


def _labelled(event: _Event, label: str) -> Order | Skip:
    change = event.changes.labels
    before = {entry.title for entry in change.previous} if change else set[str]()
    after = {entry.title for entry in (change.current if change else event.labels)}
    fresh = change is not None or event.object_attributes.action == "open"
    if label not in after - before or not fresh or event.object_attributes.iid is None:
        return Skip(f"only the label {label!r} starts a run")
    return Order("label", issue=event.object_attributes.iid, actor=event.user.username)


def _commented(event: _Event, _: str) -> Order | Skip:
    command = parse_command(event.object_attributes.note)
    if command is None or event.object_attributes.action not in ("", "create"):
        return Skip("the comment begins with no command: /ostro fix, /ostro retry or /ostro stop")
    merge = event.merge_request
    if merge is not None and merge.source != merge.target:
        return Skip(f"merge request !{merge.iid} comes from a fork; Ostro works on its own drafts only")
    if merge is None and event.issue is None:
        return Skip("the comment is on neither an issue nor a merge request")
    return Order(
        "comment",
        command=command[0],
        wishes=command[1],
        issue=event.issue.iid if merge is None and event.issue is not None else None,
        pull=merge.iid if merge is not None else None,
        actor=event.user.username,
        note=event.object_attributes.id or 0,
    )


def _checked(event: _Event, _: str) -> Order | Skip:
    found = event.object_attributes
    issue = issue_of_branch(found.ref)
    if found.status != "failed" or issue is None:
        return Skip("the pipeline is not a failed one of a draft of Ostro")
    return Order("checks", issue=issue, branch=found.ref, failed_commit=found.sha)
