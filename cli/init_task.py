"""`ostro init-task`: make a task of two commits of a repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ostro.cli.grade import image_option, sandbox_option
from ostro.cli.options import examples, output_option, print_json

if TYPE_CHECKING:
    from ostro.benchmarks.instance import Instance


@click.command(
    epilog=examples(
        "ostro init-task --repo . --base HEAD~1 --fix HEAD --id shop__vat-7 --issue issue.md \\",
        "    --test 'python -m pytest -rA tests' --pip pytest==8.3.5 --out tasks.jsonl",
        "ostro init-task --id shop__vat-8 --task 'Rounding is off' --test 'go test -v ./...' --parser gotest \\",
        "    --needs go --out mytasks              (a task repository, a folder of files)",
    )
)
@click.option("--repo", type=click.Path(path_type=Path), default=Path(), show_default=True, help="The repository.")
@click.option("--base", default="HEAD~1", show_default=True, metavar="COMMIT", help="The commit with the bug.")
@click.option("--fix", default="HEAD", show_default=True, metavar="COMMIT", help="The fix, with its tests.")
@click.option("--id", "instance_id", required=True, metavar="ID", help="Name of the task: owner__repository-number.")
@click.option("--issue", type=click.Path(path_type=Path), metavar="FILE", help="The problem statement, Markdown.")
@click.option("--task", default="", metavar="TEXT", help="The problem statement itself.")
@click.option("--test", "test_cmd", required=True, metavar="CMD", help="Runs the tests and names each (pytest -rA).")
@click.option("--parser", default="pytest", show_default=True, metavar="NAME", help="Who reads their output.")
@click.option("--pip", multiple=True, metavar="PIN", help="Pinned package of the environment; repeatable.")
@click.option("--install", multiple=True, metavar="CMD", help="Runs in the tree once the pins are there; repeatable.")
@click.option("--needs", multiple=True, metavar="PROGRAM", help="Program that the tests need; repeatable.")
@sandbox_option
@image_option
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.jsonl|FOLDER", help="Add it to this file or repository."
)
@output_option
def command(
    repo: Path,
    base: str,
    fix: str,
    instance_id: str,
    issue: Path | None,
    task: str,
    test_cmd: str,
    parser: str,
    pip: tuple[str, ...],
    install: tuple[str, ...],
    needs: tuple[str, ...],
    sandbox: str,
    base_image: str,
    out: Path | None,
    output: str,
) -> int:
    """Make a task of two commits: one with a bug, and its fix with the tests that show it.

    Which tests the fix mends, and which must go on passing, is found by running them before and after, twice, in a
    sandbox. The row has SWE-bench's keys; a small repository of plain text goes into it whole. --out takes a JSONL
    file, which gets a line, or the folder of a task repository as swebench 5 has them, which gets tasks/ID.
    """
    from ostro.agent.config_sources import load
    from ostro.benchmarks.batch import choose_flavour
    from ostro.benchmarks.task_maker import find_commits, make_task

    if out is not None:
        _check_target(out, instance_id)
    instance = make_task(
        instance_id,
        _statement(issue, task),
        find_commits(repo, base, fix),
        test_cmd=test_cmd,
        log_parser=_known(parser),
        pip=pip,
        install=install,
        needs=needs,
        flavour=choose_flavour(sandbox),
        home=load().settings.home,
        base_image=base_image,
    )
    row = instance.model_dump(mode="json", by_alias=True)
    added = _add(instance, row, out) if out else ""
    mended = len(instance.fail_to_pass)
    told = f"{mended} {'test' if mended == 1 else 'tests'} to mend, {len(instance.pass_to_pass)} to keep"
    click.echo(f"{instance_id}: {told}{added}", err=True)
    if output == "json" or out is None:
        print_json(row)
    return 0


def _statement(issue: Path | None, task: str) -> str:
    if (issue is None) == (not task):
        raise click.UsageError("give the problem statement with --issue or with --task", click.get_current_context())
    if issue is None:
        return task
    try:
        return issue.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{issue} cannot be read: {error}", click.get_current_context()) from error


def _known(parser: str) -> str:
    from ostro.benchmarks.parsers import PARSERS, canonical_name

    if canonical_name(parser) not in PARSERS:
        known = ", ".join(sorted(PARSERS))
        raise click.UsageError(f"there is no parser {parser!r}; there are {known}", click.get_current_context())
    return canonical_name(parser)


def _check_target(out: Path, instance_id: str) -> None:
    """Refuse, before anything is run, a target that cannot take the task.

    Raises:
        UsageError: it holds that task already, or is neither a JSONL file nor a folder.
        InstanceError: what it holds are no tasks.
    """
    from ostro.benchmarks.instance_files import read_instances
    from ostro.benchmarks.task_repository import TASKS

    strange = out.is_dir() and any(out.iterdir()) and not (out / TASKS).is_dir()
    if strange or out.suffix == ".json" or (out.is_file() and out.suffix != ".jsonl"):
        raise click.UsageError(
            f"{out} takes no task: --out is a file .jsonl, or the folder of a task repository, new or there already",
            click.get_current_context(),
        )
    holds = any((out / TASKS).iterdir()) if (out / TASKS).is_dir() else out.is_file() and out.stat().st_size > 0
    if holds and any(one.instance_id == instance_id for one in read_instances(out)):
        raise click.UsageError(f"{out} has a task {instance_id} already", click.get_current_context())


def _add(instance: Instance, row: dict[str, Any], out: Path) -> str:
    if out.suffix != ".jsonl":
        from ostro.benchmarks.task_repository import write_task

        return f"; written to {write_task(instance, out)}"
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return f"; added to {out}"
