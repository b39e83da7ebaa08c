"""`ostro export`: a trajectory in the format of another tool."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ostro.cli.options import examples

FORMATS = ("atif", "mini-swe-agent", "swe-agent", "prediction")


@click.command(
    epilog=examples(
        "ostro export last --to atif --out run.atif.json",
        "ostro export runs/a --to mini-swe-agent --out exported",
        "ostro export last --to prediction --name django__django-11099 >> predictions.jsonl",
    ),
)
@click.argument("run", default="last")
@click.option("--to", "target", type=click.Choice(FORMATS), required=True, help="The format.")
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH", help="File, or folder where RUN has several.")
@click.option(
    "--name", metavar="ID", help="What the document calls the instance; its own id, or the run's, by default."
)
def command(run: str, target: str, out: Path | None, name: str | None) -> int:
    """Write a run in the format of another tool: on stdout, or to --out.

    RUN is `last`, an id, the beginning of an id, a run folder, that of an evaluation, or a trajectory.jsonl. `atif` is
    the Agent Trajectory Interchange Format, `mini-swe-agent` and `swe-agent` are what these agents' inspectors show,
    `prediction` is one line of SWE-bench's predictions. An evaluation, and a run of several attempts, is written into
    a folder, ID/ID.traj and so on.
    """
    from ostro.agent.errors import UsageError
    from ostro.agent.record.export import FORMATS as KNOWN
    from ostro.agent.record.steps import read_recording

    chosen = next(form for known, form in KNOWN.items() if known == target)
    named = _named_logs(run)
    if len(named) == 1:
        document = chosen.write(read_recording(named[0][1], name or named[0][0]))
        _write(out, json.dumps(document, indent=None if target == "prediction" else 2))
        return 0
    if out is None or name is not None:
        raise UsageError(
            f"{run} holds {len(named)} trajectories", mend="Give the folder for them with --out, and no --name."
        )
    for own, log in named:
        document = chosen.write(read_recording(log, own))
        _write(out / own / f"{own}{chosen.suffix}", json.dumps(document, indent=2))
    return 0


def _named_logs(run: str) -> list[tuple[str, Path]]:
    """Return the logs that RUN means, each with the name of its instance; "" where the run's id is its name."""
    from ostro.agent.config_sources import load
    from ostro.benchmarks.store import MANIFEST, instance_logs
    from ostro.cli.store import find_run, logs_of

    path = Path(run)
    if (path / MANIFEST).is_file():
        return _told_apart([(log.relative_to(path).parts[1], log) for log in instance_logs(path)])
    if path.is_file():
        return [("", path)]
    folder = find_run(load().settings.home, run)
    logs = logs_of(folder)
    return _told_apart([("" if len(logs) == 1 else folder.resolve().name, log) for log in logs])


def _told_apart(named: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Add the attempt's name where an instance has several logs."""
    names = [name for name, _ in named]
    return [(f"{name}-{log.parent.name}" if names.count(name) > 1 else name, log) for name, log in named]


def _write(path: Path | None, text: str) -> None:
    from ostro.benchmarks.store import write_text

    if path is None:
        click.echo(text)
        return
    write_text(path, f"{text}\n")
    click.echo(f"Written: {path}", err=True)
