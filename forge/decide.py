"""What a job is to do: the event, and whether the person who asks may ask.

cli/pr -> job.read_job -> decide -> solve.py -> publish.py. Every trigger is checked against the API: the event alone
proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ostro.agent.errors import ForgeError, UsageError
from ostro.forge.event import EVENTS, Order, Skip, is_bot, issue_of_branch, read_event
from ostro.forge.gitlab_event import confirmed, read_gitlab_event
from ostro.forge.job import GITLAB, Job
from ostro.forge.marker import read_marker
from ostro.forge.ours import own_notes, own_pulls
from ostro.forge.protocol import Forge, IssueState, Pull

MAX_ROUNDS = 2
"""So many runs may failed checks start before a person is to look: one that cannot pass would start them forever."""
MAX_CANDIDATES = 30


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


def decide(job: Job, forge: Forge) -> Assignment | Skip:
    """Say what the job is to do.

    Raises:
        ForgeError: the forge refuses or does not answer.
        UsageError: the event cannot be read.
    """
    order = _order(job)
    if isinstance(order, Skip):
        return order
    try:
        asked = _confirmed(job, forge, order)
        return asked if isinstance(asked, Skip) else _decided(job, forge, asked)
    except ForgeError as error:
        if (order.issue or order.pull) is None or not gone(forge, error):
            raise
        what = f"issue #{order.issue}" if order.issue else f"pull request {forge.pull_sign}{order.pull}"
        return Skip(f"{what} is not there: it was deleted, or moved to another repository")


def asked_for(job: Job, forge: Forge) -> int | None:
    """Return the issue that the job's command line or event names; None where it leaves the choice.

    Raises:
        ForgeError: the forge refuses or does not answer.
        UsageError: the event cannot be read.
    """
    if job.issue is not None or not job.event:
        return job.issue
    order = _order(job)
    if isinstance(order, Skip) or order.pull is None:
        return None if isinstance(order, Skip) else order.issue
    return issue_of_branch(forge.pull(order.pull).head_branch)


def gone(forge: Forge, error: ForgeError) -> bool:
    """Whether an error says that an issue or pull request was deleted or moved: the repository is there without it.

    Raises:
        ForgeError: the repository itself is not to be seen.
    """
    if error.forge_kind not in ("missing", "moved"):
        return False
    forge.default_branch()
    return True


def _confirmed(job: Job, forge: Forge, order: Order) -> Order | Skip:
    """Ask the forge for what the event does not prove, or does not say."""
    if job.event == GITLAB:
        return confirmed(order, forge, label=job.label)
    if job.kind == "gitea" and order.trigger == "label" and order.issue is not None:
        # Its event names no label: ours may have been there, and another one changed, by ourselves even.
        by = forge.who_labelled(order.issue, job.label)
        return order if by == order.actor else Skip(f"{order.actor} changed another label than {job.label!r}")
    return order


def _decided(job: Job, forge: Forge, order: Order) -> Assignment | Skip:
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
        if own_notes(forge.notes(number), number):
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
    refusal = closed_to_us(state, actor) or _withdrawn(job, order, state)
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
    refusal = closed_to_us(state, actor)
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
    own = own_notes(forge.notes(issue), issue)
    marker = read_marker(own[-1].body) if own else None
    return "`/ostro stop` was the last command" if marker is not None and marker.stopped else ""


def _refusal(forge: Forge, actor: str) -> str:
    """Say why somebody may not start a run; "" for somebody who may.

    Raises:
        ForgeError: the forge does not answer, or nothing is to be seen with this token.
    """
    if not actor:
        return "nobody is known who asked for it"
    if is_bot(actor):
        return f"{actor} is a bot; bots start nothing"
    if not forge.may_write(actor):
        forge.default_branch()  # a token that does not see the repository sees nobody who may write to it, either
        return f"{actor} has no write permission in {forge.repository}"
    return ""


def closed_to_us(state: IssueState, actor: str) -> str:
    """Say why an issue is not Ostro's to work on for somebody; "" where it is."""
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
