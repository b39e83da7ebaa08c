"""`ostro eval`: a model over a task set, graded; the same command goes on where it was."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostro.cli.conclusion import conclude
from ostro.cli.grade import image_option, jobs_option, namespace_option, only_option, rows_of, workers_option
from ostro.cli.options import examples, output_option, settings_flags, settings_options

if TYPE_CHECKING:
    from ostro.agent.budget import Purse
    from ostro.agent.config import Settings
    from ostro.benchmarks.building import BuildSite
    from ostro.benchmarks.engine import Engine
    from ostro.benchmarks.harness import Work
    from ostro.benchmarks.orders import WorkOrder
    from ostro.benchmarks.results import InstanceResult
    from ostro.cli.batch_screen import BatchScreen

AGENT_FLAGS = ("endpoint", "model", "price", "sandbox", "budget", "steps", "time", "tokens", "max_tokens", "attempts")


@click.command(
    epilog=examples(
        "ostro eval --tasks tasks.jsonl --workers 8 --out runs/a --budget 20",
        "ostro eval --tasks builtin --out runs/oracle --policy oracle",
        "ostro eval --tasks tasks.jsonl --out runs/local --endpoint http://localhost:8080/v1 --model m --price 0,0",
    ),
)
@click.option(
    "--tasks", required=True, metavar="FILE|FOLDER|NAME", help="The task set; `builtin` is our own small one."
)
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="The run folder.")
@workers_option
@jobs_option
@click.option("--samples", type=click.IntRange(min=1), default=1, show_default=True, help="Tries of each, for pass@k.")
@only_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N instances alone.")
@click.option("--instance-budget", type=float, metavar="USD", help="Most dollars for one sample of one instance.")
@click.option(
    "--policy",
    type=click.Choice(["model", "oracle", "null"]),
    default="model",
    show_default=True,
    help="Who answers: the model, or a script that solves everything or nothing, to check the task set.",
)
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["threads", "ray"]),
    default="threads",
    show_default=True,
    help="Where workers run.",
)
@image_option
@namespace_option
@click.option(
    "--quarantine",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Broken and flaky tasks, as `ostro validate` lists them; they are shown apart.",
)
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="R", help="End with 9 below R percent resolved.")
@settings_options(*AGENT_FLAGS)
@output_option
def command(
    tasks: str,
    out: Path,
    workers: int,
    jobs: int,
    samples: int,
    only: tuple[str, ...],
    limit: int | None,
    instance_budget: float | None,
    policy: str,
    engine_name: str,
    base_image: str,
    namespace: str,
    quarantine: Path | None,
    fail_under: float | None,
    output: str,
    **values: object,
) -> int:
    """Run a model over a task set and grade its patches.

    --budget is for the whole batch. Whatever ends the process, the same command goes on where it was; Ctrl-C finishes
    what is under way, a second one stops at once. Exit codes: 0 done, 3 stopped by the budget or the disk, 5
    infrastructure failures remain, 9 below --fail-under, 130 interrupted.
    """
    from ostro.agent.config_sources import load
    from ostro.benchmarks.batch import choose_flavour
    from ostro.benchmarks.building import PULLED, BuildSite
    from ostro.benchmarks.eval_request import EvalRequest, orders_of, read_quarantine, subject_of
    from ostro.benchmarks.harness import evaluate
    from ostro.benchmarks.store import read_results
    from ostro.cli.batch_screen import BatchScreen

    settings = load(None, settings_flags(values)).settings
    request = EvalRequest(
        instances=tuple(rows_of(tasks, only, namespace)[:limit]),
        dataset=tasks,
        settings=settings,
        out=out.absolute(),
        flavour=choose_flavour(protected(settings)),
        policy="model" if policy == "model" else "oracle" if policy == "oracle" else "null",
        samples=samples,
        instance_budget=instance_budget,
        base_image=base_image,
        quarantine=read_quarantine(quarantine) if quarantine else {},
        subject=subject_of(settings) if policy == "model" else None,
    )
    before = [result for _, result in read_results(request.out) if not result.infra]
    with BatchScreen(sys.stderr, len(list(orders_of(request))), before) as screen:
        engine, drained = engine_of(engine_name, workers, screen)
        site = BuildSite(jobs, request.out / PULLED)
        run, stopped = evaluate(request, engine, work_with(engine_name, screen, site), screen)
    return conclude(run, output, stopped=stopped, interrupted=drained(), fail_under=fail_under)


def protected(settings: Settings) -> str:
    """Return the kind of sandbox.

    Raises:
        UsageError: `none`: what models and task sets bring never runs unprotected.
    """
    from ostro.agent.errors import UsageError

    if settings.sandbox == "none":
        raise UsageError("an evaluation needs a sandbox", mend="Use --sandbox docker or --sandbox local.")
    return settings.sandbox


def engine_of(name: str, workers: int, screen: BatchScreen) -> tuple[Engine, Callable[[], bool]]:
    """Return the engine, and what tells whether an interrupt drained it.

    Raises:
        UsageError: it is not installed.
    """
    if name == "ray":
        from ostro.benchmarks.ray_engine import RayEngine

        return RayEngine(workers), lambda: False
    from ostro.benchmarks.engine import ThreadEngine

    threads = ThreadEngine(workers, lambda: screen.say("finishing what is under way; once more to stop at once"))
    return threads, lambda: threads.drained


def work_with(name: str, screen: BatchScreen, site: BuildSite) -> Callable[[Purse], Work]:
    """Return what makes the work of one order: in this process with the screen told, or wherever Ray runs it."""
    from ostro.benchmarks.solving import work

    def here(purse: Purse) -> Work:
        def work_here(order: WorkOrder) -> InstanceResult:
            screen.begun(order)
            return work(
                order, purse=purse, site=site, listener=lambda event: screen.event(order, event), say=screen.say
            )

        return work_here

    return (lambda _: work) if name == "ray" else here
