"""Judge the patches of an evaluation again, without any agent: `ostro regrade`.

For a grader that was mended, a time-out that was too short, or a doubt. The patches, rows and manifest of the run
folder are all that it takes; results are replaced one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ostro.agent.errors import UsageError
from ostro.benchmarks.batch import Place, persistently
from ostro.benchmarks.grading import nothing_to_grade
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.results import InstanceResult
from ostro.benchmarks.store import DATASET, PATCH, Run, instance_folder


@dataclass(frozen=True)
class Regraded:
    """A result before and after."""

    before: InstanceResult
    after: InstanceResult

    @property
    def changed(self) -> bool:
        """Whether it counts differently now."""
        return self.before.status != self.after.status


def rows_of(run: Run) -> dict[str, Instance]:
    """Return the rows that ran, by id.

    Raises:
        UsageError: the run folder does not hold them.
    """
    path = run.folder / DATASET
    if not path.is_file():
        raise UsageError(f"{path} is missing: without the rows nothing can be graded")
    return {row.instance_id: row for row in read_instances(path)}


def base_image_of(run: Run) -> str:
    """Return the base image that the run was made with, "" for the default."""
    return str(run.manifest.config.get("base_image") or "")


def gradable(run: Run, only: Sequence[str]) -> list[InstanceResult]:
    """Return the results whose agent came to an end, so that its patch can be judged.

    Raises:
        UsageError: an id of `only` has none.
    """
    found = [result for result in run.results if not only or result.instance_id in only]
    if missing := sorted(set(only) - {result.instance_id for result in found}):
        raise UsageError(f"{run.folder} has no result of {', '.join(missing)}", mend="Look at results.json.")
    return [result for result in found if (instance_folder_of(run, result) / PATCH).is_file()]


def instance_folder_of(run: Run, result: InstanceResult) -> Path:
    """Return where the files of a result lie."""
    return instance_folder(run.folder, result.instance_id, result.sample)


def regrade(run: Run, result: InstanceResult, row: Instance, place: Place) -> Regraded:
    """Grade the patch of one result again.

    A failure of the sandbox or the environment leaves the earlier grade, and says so as `infra`.
    """
    started = time.monotonic()
    folder = instance_folder_of(run, result)
    patch = (folder / PATCH).read_bytes()
    if patch.strip():
        report, infra, _ = persistently(lambda: place.grade(row, patch, folder))
    else:
        report, infra = nothing_to_grade(row), ""
    grade = report or result.grade
    seconds = round(result.agent_seconds + time.monotonic() - started, 3)
    changes = {"grade": grade, "infra": infra, "infra_kind": "grading" if infra else "", "seconds": seconds}
    if environment := place.environments.get(row.instance_id):
        changes["environment"] = environment
    return Regraded(result, result.model_copy(update=changes))
