"""`ostro replay`: a recorded run against a fresh sandbox, and every place where it comes out differently."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostro.cli.options import SANDBOX_FLAGS, examples, output_option, print_json, settings_flags, settings_options

if TYPE_CHECKING:
    from ostro.agent.record.drift import Drift, ReplayReport
    from ostro.cli.render import Progress


@click.command(
    epilog=examples(
        "ostro replay last",
        "ostro replay 20261123 --sandbox local",
        "ostro replay downloads/trajectory.jsonl --repo .",
    ),
)
@click.argument("run", default="last")
@click.option(
    "--repo", type=click.Path(path_type=Path), metavar="PATH", help="Has the base commit, where the run folder has not."
)
@settings_options(*SANDBOX_FLAGS)
@output_option
def command(run: str, repo: Path | None, output: str, **values: object) -> int:
    """Run the recorded replies of a run in a fresh sandbox, and compare every observation with the recorded one.

    RUN is `last`, an id, the beginning of an id, a run folder, that of an evaluation (every instance is replayed), or
    a trajectory.jsonl. It needs no key and no network, and changes nothing of yours. The sandbox is of the recorded
    kind unless --sandbox says otherwise. Times, process numbers and other parts that always vary are replaced before
    comparing (docs/trajectory.md). Exit codes: 0 everything came out the same, 8 something did not, others as for
    `ostro run`.
    """
    from ostro.cli.render import Progress
    from ostro.cli.terminal import one_line

    with Progress(sys.stderr) as progress:
        reports = [_replay(log, repo, settings_flags(values), progress) for log in _logs(run)]
    exit_code = max(report.exit_code for report in reports)
    if output == "json":
        found = [report.model_dump(mode="json", by_alias=True) for report in reports]
        print_json({"schema": 1, "run": run, "exit_code": exit_code, "replays": found, "error": None})
    else:
        names = [[one_line(report.log, 200)] if len(reports) > 1 else [] for report in reports]
        texts = [name + lines_of(report) for name, report in zip(names, reports, strict=True)]
        click.echo("\n\n".join(map("\n".join, texts)))
    return exit_code


def _logs(run: str) -> list[Path]:
    """Return the logs that RUN means: one for each attempt, of each instance of an evaluation."""
    from ostro.agent.config_sources import load
    from ostro.benchmarks.store import MANIFEST, instance_logs
    from ostro.cli.store import find_run, logs_of

    path = Path(run)
    if (path / MANIFEST).is_file():
        return instance_logs(path)
    return [path] if path.is_file() else logs_of(find_run(load().settings.home, run))


def _replay(log: Path, repo: Path | None, flags: dict[str, Any], progress: Progress) -> ReplayReport:
    from ostro.agent.config_sources import load
    from ostro.agent.record.replay import ReplayRequest, replay

    progress.say(f"replaying {log}")
    return replay(ReplayRequest(log=log, home=load().settings.home, repository=repo, **flags), progress, progress.say)


def lines_of(report: ReplayReport) -> list[str]:
    """Return the report for people: each difference, then the sum."""
    from ostro.cli.terminal import BOLD, GREEN, RED, one_line, paint, wants_color

    color = wants_color(sys.stdout)
    lines: list[str] = []
    for drift in report.drifts:
        lines += [paint(one_line(title_of(drift), 200), BOLD, on=color), *_diff(drift, color=color), ""]
    found = f"{len(report.drifts)} differences" if len(report.drifts) != 1 else "1 difference"
    verdict = paint(found, BOLD, RED, on=color) if report.drifts else paint("no drift", BOLD, GREEN, on=color)
    left_out = f", {report.left_out} not compared" if report.left_out else ""
    lines.append(
        f"{verdict}: {report.turns} steps, {report.same} of {report.calls} observations the same{left_out}; "
        f"sandbox {report.replayed.sandbox}, {report.seconds:.1f} s"
    )
    return [*lines, *(f"  note     {one_line(note, 200)}" for note in report.notes)]


def title_of(drift: Drift) -> str:
    """Say where a difference is: the step, and the call or what else it is about."""
    if drift.turn is None:
        return "the final patch"
    about = {
        "calls": "the calls that are read in the reply",
        "nudge": "the correction after a reply without a call",
        "ending": "whether the run ends here",
    }
    return f"step {drift.turn + 1}: {about.get(drift.kind) or f'{drift.tool} {drift.command}'}"


def _diff(drift: Drift, *, color: bool) -> list[str]:
    from ostro.cli.page import Page

    return list(Page(color=color, lines=sys.maxsize).diff(drift.diff))
