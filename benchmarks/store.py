"""The folder of an evaluation: what lies where, and how it is read.

    RUN/manifest.json                        RunManifest: what ran
    RUN/dataset.jsonl                        the rows that ran, as SWE-bench's rows; what a report shows as gold
    RUN/images.json                          images that the run pulled; they may go where the disk is nearly full
    RUN/predictions.jsonl                    the patches in SWE-bench's format
    RUN/results.json, report.md, junit.xml, report.html
    RUN/instances/ID[@SAMPLE]/result.json    InstanceResult; its presence says that the instance is done
    RUN/instances/ID[@SAMPLE]/               patch.diff, test.log of the grading, report.json as SWE-bench has it
    RUN/instances/ID[@SAMPLE]/run/           the agent's run folder: trajectory.jsonl and all
    RUN/instances/ID[@SAMPLE]/run.aside-N/   one that could not be gone on with; what it spent still counts

A file that is read back is written whole or not at all (`write_text`), so that a crash leaves no half of one.
`@` stands in no instance id, so no sample's folder can be taken for another instance's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ostro.agent.errors import UsageError
from ostro.agent.record.files import write_whole
from ostro.agent.record.trajectory import storage_error
from ostro.benchmarks.results import InstanceResult, RunManifest
from ostro.benchmarks.row_text import problem_of

MANIFEST = "manifest.json"
DATASET = "dataset.jsonl"
PREDICTIONS = "predictions.jsonl"
RESULTS = "results.json"
MARKDOWN = "report.md"
JUNIT = "junit.xml"
HTML = "report.html"
INSTANCES = "instances"

RESULT = "result.json"
INSTANCE_REPORT = "report.json"
TRAJECTORY = "trajectory.jsonl"
PATCH = "patch.diff"
TEST_LOG = "test.log"
AGENT_RUN = "run"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Run:
    """An evaluation as it stands on the disk.

    Attributes:
        results: in the order of their ids, then samples; `folder` of each is where it was found.
    """

    folder: Path
    manifest: RunManifest
    results: tuple[InstanceResult, ...]

    @property
    def instance_ids(self) -> tuple[str, ...]:
        """Every instance asked for, in order; those that have a result where the manifest does not name them."""
        return self.manifest.instance_ids or tuple(dict.fromkeys(result.instance_id for result in self.results))


def instance_folder(run: Path, instance_id: str, sample: int = 1) -> Path:
    """Return where one sample of one instance lies."""
    return run / INSTANCES / (instance_id if sample == 1 else f"{instance_id}@{sample}")


def read_run(folder: Path) -> Run:
    """Read a run folder, finished or not.

    Raises:
        UsageError: it is not the folder of an evaluation, or a file of it is damaged.
    """
    manifest = read_manifest(folder)
    results = sorted(_results(folder), key=lambda result: (result.instance_id, result.sample))
    return Run(folder, manifest, tuple(results))


def read_manifest(folder: Path) -> RunManifest:
    """Return what ran, or runs, in a run folder.

    Raises:
        UsageError: it is not the folder of an evaluation, or its manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"{folder}: no {MANIFEST}", mend="Name the folder that an evaluation was written to.")
    return _read(path, RunManifest)


def logs_of(folder: Path, run: str = AGENT_RUN) -> list[Path]:
    """Return the trajectories of one instance's agent: one, or one for each attempt."""
    return sorted([*folder.glob(f"{run}/{TRAJECTORY}"), *folder.glob(f"{run}/attempt*/{TRAJECTORY}")])


def instance_logs(run: Path) -> list[Path]:
    """Return the trajectories of every instance of an evaluation.

    Raises:
        UsageError: there is none.
    """
    logs = [log for folder in sorted((run / INSTANCES).glob("*")) for log in logs_of(folder)]
    if not logs:
        raise UsageError(f"{run}: no instance has a trajectory", mend="Name the folder of an `ostro eval`.")
    return logs


def read_results(folder: Path) -> Iterator[tuple[tuple[str, int], InstanceResult]]:
    """Yield the results that stand; one that a crash damaged is as good as none, and made again."""
    for result in map(_result_at, sorted(folder.glob(f"{INSTANCES}/*/{RESULT}"))):
        if result is not None:
            yield (result.instance_id, result.sample), result


def remove_damaged(folder: Path) -> None:
    """Remove results that cannot be read: reports of the folder would trip over them."""
    for path in folder.glob(f"{INSTANCES}/*/{RESULT}"):
        if _result_at(path) is None:
            path.unlink(missing_ok=True)


def _result_at(path: Path) -> InstanceResult | None:
    try:
        return InstanceResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def make_folder(folder: Path) -> Path:
    """Make a folder where there is none; return it.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader, and a crash, sees the old content or the new one.

    Raises:
        StorageError: it cannot be written; the old content stays.
    """
    make_folder(path.parent)
    write_whole(path, text.encode("utf-8", "surrogateescape"))


def _results(folder: Path) -> Iterator[InstanceResult]:
    for path in (folder / INSTANCES).glob(f"*/{RESULT}"):
        found = _read(path, InstanceResult)
        yield found.model_copy(update={"folder": f"{INSTANCES}/{path.parent.name}"})


def _read(path: Path, model: type[M]) -> M:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise UsageError(
            f"{path}: {problem_of(error, 'file')}", mend="Remove the file to have the instance run again."
        ) from error
