"""Title, body and commit message of the pull request. Pure: the same evidence gives the same text."""

from __future__ import annotations

from ostro.agent.outcome import TestedPatch, TestRun
from ostro.forge.evidence import Evidence
from ostro.forge.marker import Marker
from ostro.forge.published_text import code, code_block, one_line, paragraph, plain
from ostro.forge.status import dollars

TITLE_CHARS = 100
BODY_CHARS = 60_000
"""GitHub's bodies end at 65,536 characters."""
_FOOTER = (
    "_Draft by Ostro. Comment `/ostro fix` with your wishes, `/ostro retry` or `/ostro stop`; commits of yours on the "
    "branch are never overwritten._"
)
COST_SOURCES = {"reported": "as reported", "catalogue": "by the catalogue", "flag": "by the price that was set"}
PYTEST_NO_TESTS = 5
SHOWN_FILES = 50
TEST_LINES = 2_000


def title_of(evidence: Evidence, issue_title: str) -> str:
    """Return `fix: ... (#n)`."""
    proposed = evidence.proposal.title if evidence.proposal else ""
    text = one_line(proposed or issue_title, limit=TITLE_CHARS - len(f"fix:  (#{evidence.issue})"))
    return f"fix: {text or 'the reported problem'} (#{evidence.issue})"


def commit_message(evidence: Evidence, issue_title: str, *, issue_url: str, mail: str) -> str:
    """Return the message: what was done, and trailers that lead back to the run and to who asked for it."""
    summary = evidence.proposal.summary if evidence.proposal else evidence.reason
    trailers = [
        f"Issue: {issue_url}",
        f"Ostro-Run: {evidence.run_id or 'none'}",
        f"Ostro-Model: {one_line(evidence.model, limit=100) or 'unknown'}",
        f"Ostro-Outcome: {evidence.outcome}",
    ]
    if mail:
        trailers.append(f"Co-authored-by: {evidence.actor} <{mail}>")
    parts = [title_of(evidence, issue_title), plain(summary, limit=2000), "\n".join(trailers)]
    return "\n\n".join(part for part in parts if part) + "\n"


def body_of(evidence: Evidence, *, closing: str, notices: tuple[str, ...] = ()) -> str:
    """Return the body, under `BODY_CHARS`; where it is too long, what a model wrote goes before the evidence.

    Args:
        evidence: of the run.
        closing: the forge's word that closes an issue at the merge.
        notices: what publishing has to say: what the policy reports, that no CI starts.
    """
    marker = Marker(
        kind="pull",
        issue=evidence.issue,
        run=evidence.run_id,
        ordered_by=evidence.actor,
        rounds=evidence.rounds,
    )
    proposal = evidence.proposal
    told = [
        f"{closing if evidence.green else 'Refs'} #{evidence.issue}",
        paragraph(proposal.summary if proposal else evidence.reason, limit=6000),
    ]
    facts = ["### Evidence", _tests(evidence.tests), *_limits(evidence, notices), "### Run", _facts(evidence)]
    for parts in ([*told, *_changes(evidence), *facts, *_tail(evidence)], [*told, *facts]):
        text = marker.line() + "\n\n".join(part for part in (*parts, _FOOTER) if part) + "\n"
        if len(text) <= BODY_CHARS:
            return text
    return text[: BODY_CHARS - 40] + "\n\n_[... cut: too long ...]_\n"


def _changes(evidence: Evidence) -> list[str]:
    lines = [
        f"- {paragraph(' '.join(line.split()), limit=500)}" for line in _proposed_changes(evidence) if line.strip()
    ]
    files = [code(name) for name in evidence.files_changed[:SHOWN_FILES]]
    more = len(evidence.files_changed) - len(files)
    listed = ", ".join(files) + (f" and {more} more" if more > 0 else "")
    return ["### What changed", "\n".join(lines), f"Files: {listed}" if files else ""]


def _proposed_changes(evidence: Evidence) -> tuple[str, ...]:
    return evidence.proposal.changes if evidence.proposal else ()


def _tests(tests: TestedPatch) -> str:
    if not tests.command:
        return "No test command is known for this repository, so nothing was tested."
    table = [
        f"{code(tests.command)}, run by the host in a fresh sandbox:",
        "",
        "| | status | exit code | seconds |",
        "|---|---|---|---|",
        _row("before the patch", tests.before),
        _row("with the patch", tests.after),
    ]
    shown = tests.after.summary.strip()
    details = [
        "",
        "<details><summary>Output with the patch</summary>",
        "",
        code_block(shown, limit=TEST_LINES),
        "",
        "</details>",
    ]
    return "\n".join(table + (details if shown else []))


def _row(name: str, result: TestRun) -> str:
    exit_code = "" if result.exit_code is None else str(result.exit_code)
    return f"| {name} | **{result.status}** | {exit_code} | {result.duration_s:.1f} |"


def _limits(evidence: Evidence, notices: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    if not evidence.green:
        lines.append("The tests do not vouch for this change: look closely." if evidence.tests.command else
                     "No test vouches for this change: look closely.")  # fmt: skip
        if "pytest" in evidence.tests.command and evidence.tests.after.exit_code == PYTEST_NO_TESTS:
            lines.append("pytest found no test to run (its exit code 5).")
    elif evidence.tests.before.status == "green":
        lines.append(
            "The tests passed before the patch as well: they show that nothing broke, not that the issue is fixed."
        )
    if evidence.proposal and evidence.proposal.limits.strip():
        lines.append(paragraph(" ".join(evidence.proposal.limits.split()), limit=2000))
    lines += [
        f"Noticed: {paragraph(noticed.what, limit=200)} ({paragraph(noticed.where, limit=100)}); "
        f"stopped by {paragraph(noticed.stopped_by, limit=200)}."
        for noticed in evidence.security[:10]
    ]
    lines += [paragraph(" ".join(text.split()), limit=500) for text in (*notices, *evidence.warnings[:10])]
    return ["### Limits", "\n".join(f"- {line}" for line in lines)] if lines else []


def _facts(evidence: Evidence) -> str:
    tokens = evidence.tokens
    facts = [
        f"{code(evidence.model or 'unknown model')}, {evidence.steps} steps, {evidence.seconds:.0f} s",
        f"{dollars(evidence.cost_usd)} {COST_SOURCES.get(evidence.cost_source, evidence.cost_source)}",
        f"{tokens.input:,} tokens in ({tokens.cached:,} cached), {tokens.output:,} out",
        f"run {code(evidence.run_id or 'none')}, asked for by {code(evidence.actor)} ({_trigger(evidence.trigger)})",
    ]
    log = f"; [log and trajectory]({evidence.run_url})" if evidence.run_url.startswith("https://") else ""
    return "; ".join(facts) + log + "."


def _trigger(told: str) -> str:
    """Return `label` for `label: fix`, which every label asks for, and `comment, retry` for another command."""
    return told.removesuffix(": fix").replace(": ", ", ")


def _tail(evidence: Evidence) -> list[str]:
    if not evidence.tail:
        return []
    block = code_block("\n".join(evidence.tail), limit=8000)
    return [f"<details><summary>The last {len(evidence.tail)} calls</summary>\n\n{block}\n\n</details>"]
