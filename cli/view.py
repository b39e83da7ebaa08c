"""`ostro view`: a run step by step, as text (through the pager on a terminal) or as one HTML page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.options import examples, output_option, print_json

if TYPE_CHECKING:
    from ostro.agent.record.events import Event

SHOWN_LINES = 30
"""Lines of a text that are shown without --full."""


@click.command(
    epilog=examples(
        "ostro view last",
        "ostro view last --step 3 --full",
        "ostro view last --html run.html",
    ),
)
@click.argument("run", default="last")
@click.option("--step", type=click.IntRange(min=1), metavar="N", help="Only this step.")
@click.option("--full", is_flag=True, help=f"Show every line, not the first {SHOWN_LINES} of a text.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write one self-contained page instead, with every step, the patch and timings.",
)
@output_option
def command(run: str, step: int | None, full: bool, html: Path | None, output: str) -> int:
    """Show a run step by step: what the model said, its calls, what came back, and the patch.

    RUN is `last`, an id, the beginning of an id, or a run folder.
    """
    from ostro.agent.config_sources import load
    from ostro.cli.store import find_run

    folder = find_run(load().settings.home, run)
    if step is not None:
        _require_step(folder, step)
    if html is not None:
        _write_page(folder, html)
        return 0
    if output == "json":
        events = [event.model_dump(mode="json") for event in _events(folder, step)]
        print_json({"schema": 1, "run": str(folder), "events": events})
        return 0
    lines = (f"{line}\n" for line in _lines(folder, step, sys.maxsize if full else SHOWN_LINES))
    if sys.stdout.isatty():
        click.echo_via_pager(lines)
    else:
        for line in lines:
            click.echo(line, nl=False)
    return 0


def _require_step(folder: Path, step: int) -> None:
    """Raise UsageError where the run has no such step."""
    from ostro.agent.errors import UsageError

    if next(_events(folder, step), None) is None:
        turns = {event.turn for event in _events(folder, None) if event.type == "planned"}
        mend = f"Its last step is {max(turns) + 1}." if turns else "It has none; leave --step out."
        raise UsageError(f"{folder} has no step {step}", mend=mend)


def _write_page(folder: Path, target: Path) -> None:
    from ostro.benchmarks.html_report import run_page
    from ostro.benchmarks.store import write_text
    from ostro.cli.store import logs_of, read_run

    page = run_page(folder, logs_of(folder), read_run(folder).report)
    write_text(target, page)
    click.echo(f"Written: {target}")


def _events(folder: Path, step: int | None) -> Iterator[Event]:
    from ostro.agent.record.trajectory import read_events
    from ostro.cli.store import logs_of

    for log in logs_of(folder):
        for event in read_events(log):
            if step is None or getattr(event, "turn", None) == step - 1:
                yield event


def _lines(folder: Path, step: int | None, shown_lines: int) -> Iterator[str]:
    from ostro.cli.page import Page
    from ostro.cli.store import read_run
    from ostro.cli.terminal import wants_color

    page = Page(color=wants_color(sys.stdout), lines=shown_lines)
    for event in _events(folder, step):
        yield from page.event(event)
    report = read_run(folder).report
    if step is None and report is not None:
        yield from page.security(report.security)
    if step is None and report is not None and report.patch and Path(report.patch).is_file():
        yield ""
        yield from page.diff(Path(report.patch).read_text("utf-8", "replace"))
