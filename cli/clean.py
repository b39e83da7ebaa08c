"""`ostro clean`: what lies on the disk, and removal of what can go."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from ostro.cli.options import examples, output_option, print_json

DAY_S = 86_400.0
IMAGE_PREFIX = "ostro/"
TREES = (
    "environments",
    "clones",
    "cache",
    *(f"instances/{kind}" for kind in ("local", "docker", "packages", "wheels", "sdist")),
)
"""Folders of OSTRO_HOME whose entries can be made again; those of benchmarks/environment.py among them."""


@dataclass(frozen=True)
class Item:
    """One thing that can be removed.

    Attributes:
        size_bytes: what it takes on the disk; 0 where that is not known.
        changed_s: seconds since the epoch of the last change; 0 where that is not known.
    """

    name: str
    size_bytes: int
    changed_s: float
    remove: Callable[[], None] = field(repr=False)


@click.command(
    epilog=examples(
        "ostro clean                               only look",
        "ostro clean --runs --older-than 30",
        "ostro clean --all --dry-run",
    ),
)
@click.option("--runs", is_flag=True, help="Run folders: trajectories, patches, outputs. Branches stay.")
@click.option("--checkpoints", is_flag=True, help="Only the saved workspaces of finished runs; the runs stay.")
@click.option("--trees", is_flag=True, help="Environments of the embedded sandbox, clones and caches.")
@click.option("--images", is_flag=True, help="Images that Ostro made in the Docker engine.")
@click.option("--all", "everything", is_flag=True, help="All of these.")
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", default=0.0, help="Only what is so old.")
@click.option("--dry-run", is_flag=True, help="Say what would go, remove nothing.")
@output_option
def command(older_than: float, everything: bool, dry_run: bool, output: str, **kinds: bool) -> int:
    """Show what is kept on the disk, and remove the kinds that are named.

    A run that works is never removed; the folder of a run that was given with --out stays, the run is only listed no
    more.
    """
    from ostro.agent.config_sources import load

    home = load().settings.home
    before = time.time() - older_than * DAY_S
    found = {kind: items(home) for kind, items in _KINDS.items()}
    chosen = [
        item
        for kind, items in found.items()
        if kinds[kind] or everything
        for item in items
        if not older_than or item.changed_s <= before
    ]
    for item in [] if dry_run else chosen:
        item.remove()
    if output == "json":
        _print_object(home, found, chosen, removed=not dry_run)
    else:
        _print_text(home, found, chosen, dry_run=dry_run)
    return 0


def _print_object(home: Path, found: dict[str, list[Item]], chosen: list[Item], *, removed: bool) -> None:
    kinds = {kind: {"count": len(items), "bytes": _total(items)} for kind, items in found.items()}
    names = [item.name for item in chosen]
    report = {"schema": 1, "home": str(home), "free_bytes": _free(home), "found": kinds}
    print_json(report | {"removed": names if removed else [], "would_remove": [] if removed else names})


def _print_text(home: Path, found: dict[str, list[Item]], chosen: list[Item], *, dry_run: bool) -> None:
    from ostro.cli.terminal import size

    for item in chosen:
        click.echo(f"{'would remove' if dry_run else 'removed'} {item.name} ({size(item.size_bytes)})")
    if chosen and not dry_run:
        return
    click.echo(f"{home} ({size(_free(home))} free on this disk)")
    for kind, items in found.items():
        click.echo(f"  {kind:<12} {len(items):>5}  {size(_total(items)):>9}")
    if not chosen:
        click.echo("Nothing was removed; name the kinds that can go: --runs, --checkpoints, --trees, --images, --all.")


def _total(items: Iterable[Item]) -> int:
    return sum(item.size_bytes for item in items)


def _free(home: Path) -> int:
    place = next((path for path in (home, *home.parents) if path.is_dir()), Path("/"))
    return shutil.disk_usage(place).free


def _folder(path: Path, name: str) -> Item:
    def remove() -> None:
        shutil.rmtree(path, ignore_errors=True)

    return Item(name, tree_bytes(path), path.stat().st_mtime, remove)


def tree_bytes(path: Path) -> int:
    """Return what a folder takes on the disk; links are not followed, what vanishes meanwhile is not counted."""
    total = 0
    for folder, _, files in os.walk(path):
        for file in files:
            try:
                total += os.lstat(os.path.join(folder, file)).st_blocks * 512  # noqa: PTH118  # a hot loop
            except OSError:
                continue
    return total


def _runs(home: Path) -> list[Item]:
    from ostro.cli.store import is_working, list_runs, runs_folder

    own = [_folder(run, run.name) for run in list_runs(home) if not run.is_symlink() and not is_working(run)]
    links = [path for path in sorted(runs_folder(home).glob("*")) if path.is_symlink() and not is_working(path)]
    return own + [Item(f"{path.name} (its folder stays)", 0, path.lstat().st_mtime, path.unlink) for path in links]


def _checkpoints(home: Path) -> list[Item]:
    from ostro.cli.store import is_working, list_runs, logs_of

    own = [run for run in list_runs(home) if not run.is_symlink() and not is_working(run)]
    folders = [log.parent / "checkpoints" for run in own for log in logs_of(run)]
    return [_folder(path, f"{path.parent.name}/{path.name}") for path in folders if path.is_dir()]


def _trees(home: Path) -> list[Item]:
    kept = [path for area in TREES for path in sorted((home / area).glob("*"))]
    return [_folder(path, str(path.relative_to(home))) for path in kept if path.is_dir() and not path.is_symlink()]


def _images(home: Path) -> list[Item]:  # noqa: ARG001  # one signature for every kind
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.protocol import SandboxError

    try:
        engine = Engine.connect()
    except SandboxError:
        return []  # no engine: nothing of ours lies there
    return [
        Item(made.name, made.size_bytes, made.created_s, partial(engine.remove_image, made.name))
        for made in engine.images(IMAGE_PREFIX)
    ]


_KINDS: dict[str, Callable[[Path], list[Item]]] = {
    "runs": _runs,
    "checkpoints": _checkpoints,
    "trees": _trees,
    "images": _images,
}
