"""What stands at the beginning of every evaluation's folder: the manifest's facts, and the rows that ran.

A folder belongs to what its manifest says. A command that would put other results into it is refused, one that is the
same goes on with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import JsonValue

from ostro.agent.errors import UsageError
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.results import RunManifest
from ostro.benchmarks.store import DATASET, MANIFEST, read_manifest, read_run, write_text

SAME = ("kind", "samples", "model", "endpoint", "sampling", "prompt_sha256", "tools_sha256", "sandbox")
"""What must not change within a folder, besides the rows and the configuration."""

ELASTIC = frozenset({"budget", "tokens", "sandbox", "stream", "skip_preflight", "image", "setup", "test"})
"""Configuration that may: limits of the whole batch, and what says nothing of a result or stands elsewhere."""


def dataset_digest(instances: Sequence[Instance]) -> str:
    """Return a digest of the rows, whatever order they came in; the place of an image is none of their content."""
    plain = [one.model_copy(update={"image": ""}).model_dump(mode="json", by_alias=True) for one in instances]
    rows = sorted(json.dumps(row, sort_keys=True) for row in plain)
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()


def host_facts() -> dict[str, JsonValue]:
    """Return what of this machine may make a difference."""
    return {
        "cpus": os.cpu_count() or 1,
        "machine": platform.machine(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def take_up(fresh: RunManifest, instances: Sequence[Instance], folder: Path) -> RunManifest:
    """Write the manifest of what is to run, or check that the one that stands is of the same; return what stands.

    Raises:
        UsageError: the folder holds something else: the message names what differs.
        StorageError: it cannot be written.
    """
    if not (folder / MANIFEST).exists():
        leave_manifest(fresh, instances, folder)
        return fresh
    stands = read_manifest(folder)
    differs = next(_differences(stands, fresh), "")
    if differs:
        raise UsageError(
            f"{folder} holds another evaluation: its {differs}",
            kind="other_run",
            mend="Choose another folder with --out, or give the same options as before.",
        )
    return stands


def _differences(stands: RunManifest, fresh: RunManifest) -> Iterator[str]:
    if stands.dataset_sha256 != fresh.dataset_sha256:
        yield f"rows are others ({stands.instances} of {stands.dataset}, not {fresh.instances} of {fresh.dataset})"
    for name in SAME:
        old, new = getattr(stands, name), getattr(fresh, name)
        if old != new:
            yield f"{name} is {old}, not {new}"
    for name in sorted(stands.config.keys() & fresh.config.keys() - ELASTIC):
        if stands.config[name] != fresh.config[name]:
            yield f"setting {name} is {stands.config[name]}, not {fresh.config[name]}"


def note_images(folder: Path) -> None:
    """Name in the manifest what each instance ran in, as far as there are results.

    Raises:
        StorageError: it cannot be written.
    """
    run = read_run(folder)
    images = {result.instance_id: result.environment for result in run.results if result.environment}
    noted = run.manifest.model_copy(update={"images": run.manifest.images | images})
    if noted != run.manifest:
        write_text(folder / MANIFEST, noted.model_dump_json(indent=1) + "\n")


def leave_manifest(manifest: RunManifest, instances: Sequence[Instance], folder: Path) -> None:
    """Write the manifest and the rows into a run's folder.

    Raises:
        StorageError: one cannot be written.
    """
    rows = (one.model_dump_json(by_alias=True, exclude_none=True) for one in instances)
    write_text(folder / DATASET, "".join(f"{row}\n" for row in rows))
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
