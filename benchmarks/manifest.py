"""What stands at the beginning of every evaluation's folder: the manifest's facts, and the rows that ran."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from ostro.benchmarks.instance import Instance
from ostro.benchmarks.results import RunManifest
from ostro.benchmarks.store import DATASET, MANIFEST, write_text


def dataset_digest(instances: Sequence[Instance]) -> str:
    """Return a digest of the rows, whatever order they came in."""
    rows = sorted(json.dumps(one.model_dump(mode="json", by_alias=True), sort_keys=True) for one in instances)
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogatepass")).hexdigest()


def host_facts() -> dict[str, JsonValue]:
    """Return what of this machine may make a difference."""
    return {
        "cpus": os.cpu_count() or 1,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def leave_manifest(manifest: RunManifest, instances: Sequence[Instance], folder: Path) -> None:
    """Write the manifest and the rows into a run's folder.

    Raises:
        StorageError: one cannot be written.
    """
    rows = (one.model_dump_json(by_alias=True, exclude_none=True) for one in instances)
    write_text(folder / DATASET, "".join(f"{row}\n" for row in rows))
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
