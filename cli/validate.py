"""`ostro validate`: check that a task set is fair."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.conclusion import BELOW, INFRASTRUCTURE
from ostro.cli.grade import (
    image_option,
    jobs_option,
    namespace_option,
    only_option,
    place_of,
    rows_of,
    sandbox_option,
    taken,
    tasks_option,
    timeout_option,
    workers_option,
)
from ostro.cli.options import examples, output_option, print_json

if TYPE_CHECKING:
    from ostro.benchmarks.validation import Validation


@click.command(
    epilog=examples(
        "ostro validate --tasks builtin",
        "ostro validate --tasks tasks.jsonl --repeat 5 --sandbox docker --out validated",
    )
)
@tasks_option
@only_option
@sandbox_option
@image_option
@namespace_option
@workers_option
@jobs_option
@timeout_option
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Times to grade the fix.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep logs, verdicts and the quarantine list here; the same command goes on where it was.",
)
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="R", help="End with 9 below R percent valid.")
@output_option
def command(
    tasks: str,
    only: tuple[str, ...],
    sandbox: str,
    base_image: str,
    namespace: str,
    workers: int,
    jobs: int,
    timeout: float,
    repeat: int,
    out: Path | None,
    fail_under: float | None,
    output: str,
) -> int:
    """Check that each task is fair: doing nothing fails its tests, the known fix passes them, every time.

    A task is valid, broken or flaky, with the reason; one whose tools are not on this machine is named and counts
    neither way. With --out, broken and flaky tasks are listed in quarantine.json.
    """
    from ostro.agent.record.lock import RunLock
    from ostro.benchmarks.batch import manifest_of
    from ostro.benchmarks.manifest import take_up
    from ostro.benchmarks.validation import validate_all

    instances = rows_of(tasks, only, namespace)
    with ExitStack() as stack:
        folder = taken(out, stack, "ostro-validated-")
        stack.enter_context(RunLock(folder))
        place = place_of(sandbox, base_image, folder, timeout, jobs)
        take_up(manifest_of("validate", tasks, instances, place), instances, folder)
        found = validate_all(instances, place, repeat, workers, _tell)
    return _finish(found, out, fail_under, output)


def _tell(found: Validation) -> None:
    why = f" ({' '.join(found.reason.split())})" if found.reason else ""
    click.echo(f"{found.instance_id}: {found.verdict}, {found.seconds:.0f} s{why}", err=True)


def _finish(found: list[Validation], out: Path | None, fail_under: float | None, output: str) -> int:
    from ostro.benchmarks.statistics import wilson

    counts = Counter[str](one.verdict for one in found)
    asked = len(found) - counts["not_runnable"]
    valid, rate = counts["valid"], counts["valid"] / asked if asked else 0.0
    interval = wilson(valid, asked)
    if output == "json":
        print_json(
            {
                "schema": 1,
                "run": str(out) if out else None,
                "total": len(found),
                "resolved": valid,
                "rate": rate,
                "interval": [interval.low, interval.high],
                "endings": dict(counts),
                "cost_usd": 0.0,
                "instances": [
                    {"instance_id": one.instance_id, "verdict": one.verdict, "reason": one.reason,
                     "seconds": one.seconds}
                    for one in found
                ],
            }
        )  # fmt: skip
    else:
        for verdict, count in counts.most_common():
            click.echo(f"{verdict:<14} {count:>6}")
        click.echo(f"{valid} of {asked} tasks that can run here are valid")
    if counts["infra"]:
        return INFRASTRUCTURE
    return BELOW if fail_under is not None and rate * 100 < fail_under else 0
