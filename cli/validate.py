"""`ostro validate`: check that a task set is fair."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.conclusion import BELOW, INFRASTRUCTURE
from ostro.cli.grade import (
    image_option,
    only_option,
    place_of,
    sandbox_option,
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
@workers_option
@timeout_option
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="Times to grade the fix.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Keep logs and the quarantine list here.")
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="R", help="End with 9 below R percent valid.")
@output_option
def command(
    tasks: str,
    only: tuple[str, ...],
    sandbox: str,
    base_image: str,
    workers: int,
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
    from ostro.benchmarks.batch import each
    from ostro.benchmarks.instance_files import choose, read_instances
    from ostro.benchmarks.validation import validate_instance

    instances = choose(read_instances(tasks), only)
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostro-validated-")))
        place = place_of(sandbox, base_image, folder, timeout)
        found = each(instances, lambda one: validate_instance(one, place, repeat), place, workers, _tell)
        if out is not None:
            _keep(out, found)
    return _finish(found, out, fail_under, output)


def _tell(found: Validation) -> None:
    why = f" ({' '.join(found.reason.split())})" if found.reason else ""
    click.echo(f"{found.instance_id}: {found.verdict}, {found.seconds:.0f} s{why}", err=True)


def _keep(out: Path, found: list[Validation]) -> None:
    import json

    out.mkdir(parents=True, exist_ok=True)
    flagged = {one.instance_id: f"{one.verdict}: {one.reason}" for one in found if one.verdict in ("broken", "flaky")}
    (out / "quarantine.json").write_text(json.dumps(flagged, indent=1) + "\n", encoding="utf-8")
    for one in found:
        path = out / "instances" / one.instance_id / "validation.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.model_dump_json(indent=1) + "\n", encoding="utf-8")


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
