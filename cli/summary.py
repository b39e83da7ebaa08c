"""How a run looks when it is done: the text form of a `RunReport`, and what to type next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ostro.agent.outcome import Ending, NoticedAttempt, RunReport, TestedPatch, TestRun
from ostro.cli.terminal import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    dollars,
    one_line,
    paint,
    seconds,
)

COST_SOURCES = {"reported": "as reported", "catalogue": "by the catalogue", "flag": "by --price"}
STATUS_COLOR = {"green": GREEN, "red": RED, "error": RED, "timeout": RED, "not_run": DIM}


def status_of(result: TestRun) -> str:
    """Say how a test run went, in a word and the runner's own last line."""
    word = result.status.replace("_", " ")
    lines = [line for line in result.summary.splitlines() if line.strip()]
    return f"{word} ({one_line(lines[-1], 80)})" if lines else word


def summary(report: RunReport, *, color: bool, repository: Path | None = None) -> str:
    """Return the closing text of a run: what came out, what it cost, and what to type next.

    Args:
        report: how the run ended.
        color: whether to colour it.
        repository: where the branch is, when that is not the current folder.
    """
    good = report.outcome is Ending.SUBMITTED and report.exit_code == 0
    headline = paint(report.outcome.value, BOLD, GREEN if good else RED, on=color)
    reason = f": {one_line(report.reason, 200)}" if report.reason not in ("", report.outcome.value) else ""
    lines = ["", headline + reason]
    lines += [f"  {name:<8} {value}" for name, value in _facts(report, color=color) if value]
    lines += [paint(f"  warning  {one_line(text, 300)}", YELLOW, on=color) for text in report.warnings]
    following = next_commands(report, repository)
    if following:
        lines += ["", "next:", *(f"  {command}" for command in following)]
    return "\n".join(lines)


def _facts(report: RunReport, *, color: bool) -> list[tuple[str, str]]:
    tokens = report.tokens
    cached = f" ({tokens.cached:,} cached)" if tokens.cached else ""
    source = COST_SOURCES.get(report.cost_source, report.cost_source) if report.steps else ""  # nothing was asked
    spent = f"{dollars(report.cost_usd)} {source}".rstrip()
    count = len(report.files_changed)
    return [
        ("mend", one_line(report.error.mend, 300) if report.error else ""),
        ("branch", f"{report.branch} ({report.commit[:10]})" if report.branch and report.commit else ""),
        ("patch", report.patch or ""),
        ("files", one_line(f"{count} changed: {', '.join(report.files_changed)}", 200) if count else ""),
        ("tests", _tests(report.tests, color=color)),
        ("work", f"{report.steps} steps in {seconds(report.seconds)}"),
        ("tokens", f"{tokens.input:,} in{cached}, {tokens.output:,} out; {spent}"),
        ("security", noticed_line(report.security)),
        ("repairs", ", ".join(f"{times} {stage}" for stage, times in sorted(report.repairs.items()))),
        ("where", f"sandbox {report.sandbox}; {report.model} at {report.endpoint}" if report.sandbox else ""),
        ("run", report.run),
    ]


def noticed_line(noticed: Sequence[NoticedAttempt]) -> str:
    """Say in one line how many attempts were noticed and of which kinds; "" for none."""
    if not noticed:
        return ""
    kinds = Counter(one.what for one in noticed)
    counted = ", ".join(f"{what} ({times}x)" if times > 1 else what for what, times in kinds.items())
    plural = "s" if len(noticed) > 1 else ""
    return one_line(f"{len(noticed)} attempt{plural} noticed, `ostro view` shows what stopped each: {counted}", 300)


def _tests(tests: TestedPatch, *, color: bool) -> str:
    if not tests.command:
        return "no test command known; give one with --test"
    before = paint(status_of(tests.before), STATUS_COLOR[tests.before.status], on=color)
    after = paint(status_of(tests.after), STATUS_COLOR[tests.after.status], on=color)
    return f"{tests.command}: {before} before, {after} after"


def next_commands(report: RunReport, repository: Path | None = None) -> list[str]:
    """Return what a user may want to type now; `repository` is where, None for the current folder."""
    commands = [f"cd {shlex.quote(str(repository))}"] if repository else []
    if report.branch:
        commands += [f"git diff HEAD...{report.branch}", f"git merge {report.branch}"]
    elif report.patch:
        commands.append(f"git apply {shlex.quote(report.patch)}")
    if resume := _resume(report):
        commands.append(resume)
    if report.run:
        commands.append(f"ostro view {shlex.quote(short_run(report.run))}")
    return commands


def _resume(report: RunReport) -> str:
    """Return the command that goes on with a run; "" where it has ended for good."""
    ending, tokens = report.outcome, report.tokens
    if not report.run or not (ending.limit or ending.resumable):
        return ""
    command = f"ostro resume {shlex.quote(short_run(report.run))}"
    if not ending.limit:
        return command
    used = {
        "steps": report.steps,
        "budget": report.cost_usd,
        "tokens": tokens.input + tokens.output,
        "time": report.seconds,
    }
    return f"{command} {ending.raised(used[ending.limit])}"


def short_run(folder: str) -> str:
    """Return the id of a run in the usual place, else its folder: what `ostro view` understands."""
    path = Path(folder)
    return path.name if path.parent.name == "runs" else folder
