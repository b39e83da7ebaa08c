"""The second job: validated evidence in, a draft pull request out.

It has the token that writes, no model, and runs no code of the repository. cli/pr -> evidence.read_evidence -> publish
-> landing.py, once.py. Killed at any point and started again it ends with one branch, one pull request, one comment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ostro.agent.errors import ForgeError, UsageError
from ostro.agent.outcome import Ending, ErrorReport
from ostro.agent.record.redact import Redactor
from ostro.forge.body import body_of, commit_message, title_of
from ostro.forge.decide import asked_for, closed_to_us, gone
from ostro.forge.event import issue_of_branch
from ostro.forge.evidence import Evidence
from ostro.forge.job import Job
from ostro.forge.landing import Landed, Landing
from ostro.forge.marker import read_marker
from ostro.forge.once import ensure_note, ensure_pull
from ostro.forge.ours import own_pulls
from ostro.forge.protocol import Forge, IssueState, Pull
from ostro.forge.published_text import code, paragraph
from ostro.forge.status import broken_text, failure_lines, headline_of, reason_of, result_text, stopped_text
from ostro.sandbox.host_git import patched
from ostro.sandbox.policy import Finding, PatchPolicy, PolicyReport, check_patch
from ostro.sandbox.policy_rules import RULES, Level, RuleName
from ostro.sandbox.protocol import SandboxError

DRAFT_LABEL = "ostro-draft"
FAILED_LABEL = "ostro-failed"
MAX_DELETED_FILES = 50
SHOWN_FINDINGS = 20
TOLD_CHARS = 500


@dataclass(frozen=True)
class Publication:
    """What was published.

    Attributes:
        status: `pull` a pull request; `salvaged` a branch; `refused` by the policy or by what happened to the issue
            meanwhile; `none` a comment only.
        told: one line for the log.
        text: for the step summary, Markdown.
        notices: one line each, for annotations.
        findings: of the policy, about the patch.
    """

    status: str
    told: str
    text: str
    branch: str = ""
    commit: str = ""
    pull: Pull | None = None
    notices: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def forge_policy(levels: Mapping[RuleName, Level], redact: Redactor) -> PatchPolicy:
    """Return the policy of this job: what a run would have stripped cannot be here any more, so it refuses.

    Args:
        levels: those that the maintainer set.
        redact: knows the secrets of this job.
    """
    strict: dict[RuleName, Level] = {name: "refused" for name, rule in RULES.items() if rule.level == "stripped"}
    return PatchPolicy(levels={**strict, "secret": "refused", **levels}, known_secret=redact.finds)


def publish(job: Job, forge: Forge, evidence: Evidence, patch: bytes, policy: PatchPolicy) -> Publication:
    """Publish what a run left.

    Raises:
        UsageError: the evidence is for another repository or branch.
        ForgeError: the forge refuses or does not answer.
        SandboxError: git fails.
    """
    _belongs_here(job, evidence, asked_for(job, forge))
    if not evidence.run_url.startswith(f"{job.server_url.rstrip('/')}/"):
        evidence = evidence.model_copy(update={"run_url": ""})
    state = _state_of(forge, evidence.issue)
    if state is None:
        refusal = f"issue #{evidence.issue} was deleted or moved meanwhile; nothing is published"
        return Publication("refused", refusal, refusal)
    if evidence.kind == "stop":
        return _stop(job, forge, evidence, state)
    refusal = _no_longer(forge, evidence, state)
    if refusal:
        return Publication("refused", refusal, refusal)
    if not patch:
        return _told(forge, evidence, "none", headline_of(evidence), failure_lines(evidence))
    with Landing(forge.remote, evidence) as landing:
        report = check_patch(landing.base, patch, policy)
        problems = _problems(report, landing, patch)
        if problems:
            lines = ("Its patch breaks the rules for patches; nothing of it was pushed:", problems,
                     "**Next step:** look at the patch in the job's artifact; `/ostro retry` starts anew.")  # fmt: skip
            refused = _told(forge, evidence, "refused", "the patch was refused", lines)
            return replace(refused, findings=report.findings)
        message = commit_message(
            evidence,
            state.title,
            issue_url=forge.issue_ref(evidence.issue).url,
            mail=forge.noreply(evidence.actor, evidence.actor_id),
        )
        landed = landing.land(report.patch, message, salvage=not evidence.solved)
        if evidence.solved:
            start = partial(_start_checks, job, forge, landing, landed, report.patch, message)
            found = _pull(forge, evidence, landed, state, report, start)
        else:
            found = _salvaged(forge, evidence, landed)
    return replace(found, findings=report.findings)


def _state_of(forge: Forge, issue: int) -> IssueState | None:
    try:
        return forge.issue_state(issue)
    except ForgeError as error:
        if not gone(forge, error):
            raise
        return None


def _belongs_here(job: Job, evidence: Evidence, asked: int | None) -> None:
    """Refuse evidence for anything but what this job is about: another job wrote it, which had a model."""
    told = ""
    if evidence.repository != job.repository:
        told = f"the evidence is for {evidence.repository}, not {job.repository}"
    elif asked is not None and evidence.issue != asked:
        told = f"the evidence is for issue {evidence.issue}, not {asked}"
    elif issue_of_branch(evidence.branch) != evidence.issue:
        told = f"the evidence names {evidence.branch}, no branch of issue {evidence.issue}"
    if told:
        raise UsageError(told, kind="evidence", mend="Nothing was published.")


def _no_longer(forge: Forge, evidence: Evidence, state: IssueState) -> str:
    """Say why an issue that a run was started for is not to be published for any more; "" where it is."""
    refusal = closed_to_us(state, evidence.actor)
    if refusal:
        return f"{refusal} by now; nothing is published"
    merged = next((pull for pull in own_pulls(forge, evidence.issue) if pull.merged), None)
    if merged is not None:
        return f"#{merged.number} for issue #{evidence.issue} was merged meanwhile; nothing is published"
    if evidence.follow_up and evidence.pull is not None and not forge.pull(evidence.pull).open:
        return f"#{evidence.pull} was closed meanwhile; nothing is published"
    default = forge.default_branch()
    if evidence.base_branch != default and not any(
        pull.open and pull.base_branch == evidence.base_branch for pull in own_pulls(forge, evidence.issue)
    ):
        raise UsageError(f"the evidence is for the branch {evidence.base_branch}, not {default}", kind="evidence")
    return ""


def _problems(report: PolicyReport, landing: Landing, patch: bytes) -> str:
    """Return the findings that stand against the patch as a list; "" for none."""
    refused = [finding for finding in report.findings if finding.action == "refused"]
    lines = [f"- {code(finding.path or 'the patch')}: {paragraph(finding.reason, limit=300)}" for finding in refused]
    if not lines and not report.patch:
        lines = ["- the patch changes nothing"]
    if not lines:
        with patched(landing.base, patch) as tree:
            deleted = sum(1 for change in tree.changes() if change.status == "D")
        if deleted > MAX_DELETED_FILES:
            lines = [f"- it deletes {deleted} files; {MAX_DELETED_FILES} are the most"]
    return "\n".join(lines[:SHOWN_FINDINGS])


def _start_checks(
    job: Job, forge: Forge, landing: Landing, landed: Landed, patch: bytes, message: str, pull: Pull
) -> str:
    """Let CI start for a draft, as what a job's own token does starts none; return what is to be said of it."""
    if job.ci_token and job.ci_token != job.token:
        try:
            landing.start_checks(landed, patch, message, job.ci_token)
        except SandboxError as error:  # the draft is there, and that must be told all the same
            return f"No CI starts for this draft: {error}. Check the token for it (docs/ci.md)."
        return ""
    if landed.started or not forge.job_login or pull.author != forge.job_login:
        return ""
    return (
        "This draft was made with the job's own token, so no CI starts for it: close and reopen it, or give the "
        "publishing job a token of an app, or a second token for that (docs/ci.md)."
    )


def _pull(
    forge: Forge,
    evidence: Evidence,
    landed: Landed,
    state: IssueState,
    report: PolicyReport,
    start: Callable[[Pull], str],
) -> Publication:
    told = [f"{finding.path or 'the patch'}: {finding.reason}" for finding in report.findings]
    if landed.moved:
        told.append(f"The branch {evidence.branch} holds commits of other people, so this is on {landed.branch}.")
    body = body_of(evidence, closing=forge.closing, notices=tuple(told))
    title = title_of(evidence, state.title)
    pull = ensure_pull(forge, branch=landed.branch, base=evidence.base_branch, title=title, body=body)
    if read_marker(pull.body) is None:
        told.append("A person opened this pull request: its text was left alone, the evidence is in the job's summary.")
    told += filter(None, [start(pull)])
    forge.label_pull(pull.number, DRAFT_LABEL)
    forge.remove_label(evidence.issue, FAILED_LABEL)
    tests = "tests are green" if evidence.green else "tests do not vouch for it"
    name = f"{forge.pull_sign}{pull.number}"
    lines = (f"Draft {name} on {code(landed.branch)}: {tests}.", *(paragraph(line, limit=500) for line in told))
    ensure_note(forge, evidence.issue, result_text(evidence, headline=f"draft {name}", lines=lines))
    text = f"## [{paragraph(pull.title, limit=200)}]({pull.url})\n\n{body}"
    return Publication("pull", f"draft {name}: {pull.url}", text, landed.branch, landed.commit, pull, tuple(told))


def _salvaged(forge: Forge, evidence: Evidence, landed: Landed) -> Publication:
    where = f"the branch {code(landed.branch)} (commit {code(landed.commit[:12])})"
    status = evidence.tests.after.status
    tests = "untested" if status == "not_run" else f"with tests that are {status}"
    left = f"What it had done by then is on {where}, {tests}, and not proposed for review."
    found = _told(forge, evidence, "salvaged", headline_of(evidence), (*failure_lines(evidence), left))
    return Publication(found.status, found.told, found.text, landed.branch, landed.commit, None, found.notices)


def _told(forge: Forge, evidence: Evidence, status: str, headline: str, lines: tuple[str, ...]) -> Publication:
    """Say in the comment, and on the label, what came of a run without a pull request."""
    text = result_text(evidence, headline=headline, lines=lines)
    change = forge.remove_label if evidence.outcome is Ending.NO_ACTION else forge.add_label
    change(evidence.issue, FAILED_LABEL)
    note = ensure_note(forge, evidence.issue, text)
    why = reason_of(evidence)[:TOLD_CHARS] if status != "refused" else ""
    told = ": ".join(part for part in (headline, why) if part) + (f" ({note.url})" if note.url else "")
    notices = () if evidence.outcome is Ending.NO_ACTION else (f"issue #{evidence.issue}: {told}",)
    return Publication(status, told, f"## Issue #{evidence.issue}\n\n{text}", notices=notices)


def _stop(job: Job, forge: Forge, evidence: Evidence, state: IssueState) -> Publication:
    forge.remove_label(evidence.issue, job.label)
    if state.open and not state.locked:
        ensure_note(forge, evidence.issue, stopped_text(evidence))
    return Publication("none", f"issue #{evidence.issue}: stopped", f"Issue #{evidence.issue}: stopped.")


def report_failure(job: Job, forge: Forge, issue: int, error: ErrorReport) -> None:
    """Say on the issue that a job failed outside of the run, if that can be said: the failure itself matters more."""
    with contextlib.suppress(ForgeError):
        ensure_note(forge, issue, broken_text(issue, error, run_url=job.run_url))
        forge.add_label(issue, FAILED_LABEL)
