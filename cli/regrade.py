"""`ostro regrade`: judge the patches of an evaluation again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.conclusion import conclude
from ostro.cli.grade import (
    image_option,
    jobs_option,
    only_option,
    place_of,
    sandbox_option,
    timeout_option,
    workers_option,
)
from ostro.cli.options import examples, output_option

if TYPE_CHECKING:
    from ostro.benchmarks.regrading import Regraded
    from ostro.benchmarks.results import InstanceResult


@click.command(
    epilog=examples(
        "ostro regrade runs/a",
        "ostro regrade runs/a --only django__django-16873 --timeout 3600",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@only_option
@sandbox_option
@image_option
@workers_option
@jobs_option
@timeout_option
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="R", help="End with 9 below R percent resolved.")
@output_option
def command(
    run: Path,
    only: tuple[str, ...],
    sandbox: str,
    base_image: str,
    workers: int,
    jobs: int,
    timeout: float,
    fail_under: float | None,
    output: str,
) -> int:
    """Grade the patches of the evaluation in folder RUN again; no agent runs, nothing is spent.

    Each verdict that changed is named. The reports are written anew. Exit codes as of `ostro grade`.
    """
    from ostro.agent.record.lock import RunLock
    from ostro.benchmarks.batch import each
    from ostro.benchmarks.harness import write_result
    from ostro.benchmarks.manifest import note_images
    from ostro.benchmarks.regrading import base_image_of, gradable, regrade, rows_of
    from ostro.benchmarks.store import read_manifest, read_run

    read_manifest(run)  # no folder is locked that is none of an evaluation
    with RunLock(run):
        found = read_run(run)
        rows, results = rows_of(found), gradable(found, only)
        chosen = sandbox if sandbox != "auto" else found.manifest.sandbox or sandbox
        place = place_of(chosen, base_image or base_image_of(found), run, timeout, jobs)

        def again(result: InstanceResult) -> Regraded:
            return regrade(found, result, rows[result.instance_id], place)

        def keep(one: Regraded) -> None:
            write_result(run, one.after)
            if one.changed:
                click.echo(f"{one.after.instance_id}: {one.before.status} -> {one.after.status}", err=True)

        each(results, again, place, workers, keep)
        note_images(run)
        return conclude(read_run(run), output, fail_under=fail_under)
