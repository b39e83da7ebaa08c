"""`ostro grade`: judge predictions, of whatever agent, by the tests of their tasks."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.conclusion import conclude
from ostro.cli.options import examples, output_option

if TYPE_CHECKING:
    from ostro.benchmarks.batch import Place
    from ostro.benchmarks.instance import Instance
    from ostro.benchmarks.results import InstanceResult

NAMED = 3
"""Ids that are named of those that have no task."""

tasks_option = click.option(
    "--tasks", required=True, metavar="SOURCE",
    help="A .json, .jsonl or .parquet file, a folder of them, a task repository, a data set of the hub, or builtin.",
)  # fmt: skip
only_option = click.option("--only", multiple=True, metavar="ID", help="This instance alone; repeatable.")
sandbox_option = click.option(
    "--sandbox",
    type=click.Choice(["auto", "docker", "local"]),
    default="auto",
    show_default=True,
    help="Where tests run.",
)  # fmt: skip
namespace_option = click.option(
    "--namespace",
    default="swebench",
    show_default=True,
    metavar="NAME",
    help="Account, or HOST/account of a mirror, that has SWE-bench's images.",
)
image_option = click.option("--base-image", default="", metavar="NAME", help="Image that environments are built on.")
workers_option = click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="How many at once."
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="How many environments to build at once."
)
timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=1800.0, show_default=True, metavar="S",
    help="Seconds that the tests of one instance may take.",
)  # fmt: skip


@click.command(
    epilog=examples(
        "ostro grade --tasks tasks.jsonl --predictions preds.jsonl --out graded",
        "ostro grade --tasks builtin --predictions gold        (every task's own fix: 100 %)",
        "ostro grade --tasks tasks.jsonl --predictions preds.json --fail-under 40 --output json",
    )
)
@tasks_option
@click.option("--predictions", required=True, metavar="FILE|gold|null", help="Predictions as swebench reads them.")
@only_option
@sandbox_option
@image_option
@namespace_option
@workers_option
@jobs_option
@timeout_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep logs, patches and results here; what is graded there already is not graded again.",
)
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="R", help="End with 9 below R percent resolved.")
@output_option
def command(
    tasks: str,
    predictions: str,
    only: tuple[str, ...],
    sandbox: str,
    base_image: str,
    namespace: str,
    workers: int,
    jobs: int,
    timeout: float,
    out: Path | None,
    fail_under: float | None,
    output: str,
) -> int:
    """Judge predictions by the tests of their tasks, each in a fresh sandbox.

    A resolved verdict counts only where log, exit code and test runner agree and the patch left alone what decides how
    tests run. The rate's denominator is every task asked for. With --out, the same command goes on after a kill. Ends
    with 0, with 9 below --fail-under, with 5 when a sandbox or an environment failed.
    """
    from ostro.agent.record.lock import RunLock
    from ostro.benchmarks.batch import grade_all, manifest_of
    from ostro.benchmarks.manifest import take_up
    from ostro.benchmarks.predictions import read_predictions
    from ostro.benchmarks.store import read_run, remove_damaged

    instances = rows_of(tasks, only, namespace)
    found = read_predictions(predictions, instances)
    if found.unknown and not only:
        named = ", ".join(found.unknown[:NAMED]) + (" ..." if len(found.unknown) > NAMED else "")
        click.echo(f"{_predictions(len(found.unknown), 'is', 'are')} for no task here: {named}", err=True)
    if found.null:
        click.echo(f"{_predictions(found.null, 'has', 'have')} no patch.", err=True)
    if absent := len(instances) - len(found.by_id):
        click.echo(f"{'1 task has' if absent == 1 else f'{absent} tasks have'} no prediction.", err=True)
    with ExitStack() as stack:
        folder = taken(out, stack, "ostro-graded-")
        stack.enter_context(RunLock(folder))
        place = place_of(sandbox, base_image, folder, timeout, jobs)
        model = ", ".join(dict.fromkeys(one.model_name_or_path for one in found.by_id.values()))
        take_up(manifest_of("grade", tasks, instances, place, model), instances, folder)
        remove_damaged(folder)
        grade_all(instances, found, place, workers=workers, done=_tell)
        return conclude(read_run(folder), output, keep=out is not None, fail_under=fail_under)


def rows_of(tasks: str, only: tuple[str, ...], namespace: str) -> list[Instance]:
    """Return the rows that a command is about."""
    from ostro.benchmarks.instance_files import choose, read_instances
    from ostro.benchmarks.official import from_namespace

    return [from_namespace(one, namespace) for one in choose(read_instances(tasks), only)]


def _predictions(count: int, one: str, more: str) -> str:
    return f"1 prediction {one}" if count == 1 else f"{count} predictions {more}"


def taken(out: Path | None, stack: ExitStack, prefix: str) -> Path:
    """Return the folder to work in, made: the user's, or one that goes away at the end."""
    from ostro.benchmarks.store import make_folder

    if out is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
    return make_folder(out)


def place_of(sandbox: str, base_image: str, folder: Path, timeout: float, jobs: int) -> Place:
    """Return where to grade, what is built kept below OSTRO_HOME."""
    from ostro.agent.config_sources import load
    from ostro.benchmarks.batch import Place, choose_flavour
    from ostro.benchmarks.building import PULLED, BuildSite

    site = BuildSite(jobs, folder / PULLED)
    return Place(choose_flavour(sandbox), load().settings.home, folder, base_image, timeout, site)


def _tell(result: InstanceResult) -> None:
    why = result.infra or (result.grade.findings[0] if result.grade and result.grade.findings else "")
    click.echo(f"{result.instance_id}: {result.status}{f' ({why})' if why else ''}", err=True)
