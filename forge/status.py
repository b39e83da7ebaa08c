"""The one comment that Ostro keeps on an issue: accepted, running, result. Pure texts; once.py puts them there."""

from __future__ import annotations

from ostro.agent.outcome import Ending, ErrorReport
from ostro.forge.decide import Assignment
from ostro.forge.evidence import Evidence
from ostro.forge.marker import Marker
from ostro.forge.published_text import code, paragraph

NEXT_STEPS: dict[Ending, str] = {
    Ending.NO_ACTION: "If something is to be changed all the same, say what in the issue and comment `/ostro retry`.",
    Ending.GAVE_UP: "Add what is missing to the issue (a reproduction, the wanted behaviour), then `/ostro retry`.",
    Ending.STEP_LIMIT: "Raise the limit (`OSTRO_STEPS`) or split the issue, then `/ostro retry`.",
    Ending.COST_LIMIT: "Raise the budget (`OSTRO_BUDGET`) or split the issue, then `/ostro retry`.",
    Ending.TOKEN_LIMIT: "Raise the limit (`OSTRO_TOKENS`) or split the issue, then `/ostro retry`.",
    Ending.TIME_LIMIT: "Raise the limit (`OSTRO_TIME`, and the job's own) or split the issue, then `/ostro retry`.",
    Ending.CONTEXT_LIMIT: "Split the issue, or use a model with a larger context, then `/ostro retry`.",
    Ending.LOOP_DETECTED: "Say in the issue which way to go, then `/ostro retry`; or use another model.",
    Ending.MODEL_ERROR: "Check the model's key (on GitHub the secret `OSTRO_API_KEY`), credit and endpoint, then "
    "`/ostro retry`.",
    Ending.SANDBOX_ERROR: "Mend `setup` or `image` in `ostro.toml`, or the runner's sandbox (`ostro doctor`); then "
    "`/ostro retry`.",
    Ending.PREFLIGHT_FAILED: "Mend the environment: `setup` and `test` in `ostro.toml`; then `/ostro retry`.",
    Ending.WORKSPACE_LOST: "The runner lost the sandbox; `/ostro retry`.",
    Ending.STORAGE_ERROR: "The runner's disk failed; `/ostro retry`.",
    Ending.DISK_FULL: "Free room on the runner, then `/ostro retry`.",
    Ending.USAGE: "Mend the configuration of the workflow, then `/ostro retry`.",
    Ending.INTERNAL_ERROR: "This is a bug of Ostro: please report it with the log; `/ostro retry` may help.",
    Ending.INTERRUPTED: "The job was stopped; `/ostro retry` starts it again.",
}
REASON_CHARS = 1500


def progress_text(issue: int, assignment: Assignment, *, phase: str, run_url: str = "", spent: str = "") -> str:
    """Return the comment while a run goes on."""
    marker = Marker(kind="status", issue=issue, ordered_by=assignment.actor, rounds=assignment.rounds)
    log = f" ([log]({run_url}))" if run_url.startswith("https://") else ""
    told = f", {spent}" if spent else ""
    return (
        f"{marker.line()}**Ostro: {phase}**{log}{told}\n\nAsked for by {code(assignment.actor)} "
        f"({assignment.order.trigger}). `/ostro stop` ends it.\n"
    )


def broken_text(issue: int, error: ErrorReport, *, run_url: str = "") -> str:
    """Return the comment where a job failed outside of the run: the repository, the configuration, the forge."""
    log = f" [Log]({run_url})." if run_url.startswith("https://") else ""
    reason = paragraph(sentences(error.message, error.mend), limit=REASON_CHARS)
    marker = Marker(kind="status", issue=issue)
    return (
        f"{marker.line()}**Ostro: the job failed**\n\n{code(error.kind)}: {reason}\n\n"
        f"**Next step:** mend that, then run the failed job again, or `/ostro retry`.{log}\n"
    )


def stopped_text(evidence: Evidence) -> str:
    """Return the comment after `/ostro stop`."""
    marker = Marker(kind="status", issue=evidence.issue, ordered_by=evidence.actor, stopped=True)
    return (
        f"{marker.line()}**Ostro: stopped** by {code(evidence.actor)}. Nothing starts by itself any more; "
        "`/ostro fix` or `/ostro retry` begins again.\n"
    )


def result_text(evidence: Evidence, *, headline: str, lines: tuple[str, ...]) -> str:
    """Return the comment after a run.

    Args:
        evidence: of the run.
        headline: what came of it.
        lines: where it is, what to know; Markdown of ours.
    """
    marker = Marker(
        kind="status", issue=evidence.issue, run=evidence.run_id, ordered_by=evidence.actor, rounds=evidence.rounds
    )
    model = code(evidence.model or "no model")
    facts = f"{evidence.steps} steps, {evidence.seconds:.0f} s, {dollars(evidence.cost_usd)}, {model}"
    log = f" [Log and trajectory]({evidence.run_url})." if evidence.run_url.startswith("https://") else ""
    parts = [f"**Ostro: {headline}**", *lines, f"<sub>{facts}.{log}</sub>"]
    return marker.line() + "\n\n".join(part for part in parts if part) + "\n"


def failure_lines(evidence: Evidence) -> tuple[str, ...]:
    """Return what a maintainer needs after a run without a result: the class, the reason, the next step."""
    return (
        f"{code(str(evidence.outcome))}: {paragraph(reason_of(evidence), limit=REASON_CHARS)}",
        f"**Next step:** {NEXT_STEPS.get(evidence.outcome, '`/ostro retry`.')}",
    )


def reason_of(evidence: Evidence) -> str:
    """Return in one line why a run has no result, and what to do about it; it may hold words of a stranger."""
    error = evidence.error
    return sentences(error.message, error.mend) if error is not None else sentences(evidence.reason)


def sentences(*texts: str) -> str:
    """Join texts to one line; the messages of exceptions end without a full stop, and an address has to."""
    lines = [" ".join(text.split()) for text in texts]
    ended = (line if line[-1] in ".!?:" or "://" in line.rpartition(" ")[2] else f"{line}." for line in lines if line)
    return " ".join(ended)


def dollars(usd: float) -> str:
    """Return an amount as a person writes it: small ones to a hundredth of a cent, nothing as $0.00."""
    return f"${usd:.4f}" if 0 < usd < 1 else f"${usd:.2f}"


def headline_of(evidence: Evidence) -> str:
    """Return what came of a run without a pull request, in a few words."""
    if evidence.outcome is Ending.NO_ACTION:
        return "no change was made" if evidence.error is None else "no change was published"
    if evidence.outcome is Ending.GAVE_UP:
        return "gave up"
    return f"no result ({str(evidence.outcome).replace('_', ' ')})"
