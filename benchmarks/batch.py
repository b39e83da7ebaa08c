"""Grade many predictions, or validate many rows: build each environment, grade in it, and never lose one silently.

A task that fails for want of a sandbox is tried again; what still fails is an infrastructure result, which counts
neither way. Behind `ostro grade` and `ostro validate`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from ostro.agent.errors import OstroError
from ostro.agent.version import ostro_version
from ostro.benchmarks.building import BuildSite
from ostro.benchmarks.environment import ready_environment
from ostro.benchmarks.grading import TEST_TIMEOUT_S, grade, nothing_to_grade
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.manifest import dataset_digest, host_facts, note_images
from ostro.benchmarks.predictions import Prediction, Predictions
from ostro.benchmarks.recipe import Flavour
from ostro.benchmarks.results import GradeReport, InstanceResult, RunManifest
from ostro.benchmarks.store import (
    PATCH,
    RESULT,
    TEST_LOG,
    instance_folder,
    make_folder,
    read_results,
    write_text,
)
from ostro.sandbox.protocol import Sandbox, SandboxError
from ostro.sandbox.reaper import reap_scratch

TRIES = 3
"""How often an instance is tried whose sandbox or environment fails."""

PREDICTED, NOT_PREDICTED = "prediction", "not_predicted"

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where and how to grade.

    Attributes:
        flavour: kind of sandbox.
        home: what environments are built is kept below it (OSTRO_HOME).
        folder: takes a folder an instance below `instances/`.
        base_image: see `build_environment`.
        timeout_s: seconds that the tests of one run may take.
        site: where environments are built.
        environments: digest of what each instance was graded in, by its id.
    """

    flavour: Flavour
    home: Path
    folder: Path
    base_image: str = ""
    timeout_s: float = TEST_TIMEOUT_S
    site: BuildSite = field(default_factory=BuildSite)
    environments: dict[str, str] = field(default_factory=dict[str, str])
    _open: set[Sandbox] = field(default_factory=set[Sandbox], repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    def grade(self, instance: Instance, patch: bytes, folder: Path) -> GradeReport:
        """Grade one patch here; see `benchmarks.grading.grade`."""
        mine: list[Sandbox] = []

        def opened(sandbox: Sandbox) -> None:
            mine.append(sandbox)
            self._open.add(sandbox)
            self._refuse_when_over()

        self._refuse_when_over()
        try:
            with ready_environment(
                instance, self.flavour, self.home, base_image=self.base_image, site=self.site
            ) as environment:
                self.environments[instance.instance_id] = environment.digest
                return grade(instance, environment, patch, folder, timeout_s=self.timeout_s, opened=opened)
        finally:
            self._open.difference_update(mine)

    def abandon(self) -> None:
        """End all tests that run here, and let none begin: nobody waits for them any more."""
        self._over.set()
        for sandbox in tuple(self._open):
            sandbox.cancel()

    def _refuse_when_over(self) -> None:
        if self._over.is_set():
            raise SandboxError("the batch was interrupted", kind="gone")

    def folder_of(self, instance: Instance) -> Path:
        """Return the folder of an instance."""
        return instance_folder(self.folder, instance.instance_id)


def choose_flavour(choice: str) -> Flavour:
    """Return the kind of sandbox that `auto`, `docker` or `local` means here: Docker where an engine is ready."""
    if choice != "auto":
        return "docker" if choice == "docker" else "local"
    from ostro.sandbox.docker_engine import Engine
    from ostro.sandbox.image import default_image

    try:
        engine = Engine.connect()
    except SandboxError:
        return "local"
    try:
        return "docker" if engine.image(default_image(lambda name: engine.image(name) is not None)) else "local"
    finally:
        engine.close()


ItemT = TypeVar("ItemT")


def each(
    items: Sequence[ItemT], work: Callable[[ItemT], T], place: Place, workers: int, done: Callable[[T], None]
) -> list[T]:
    """Do `work` for each item, several at once; return the results in the order of the items.

    What an earlier process left behind in the temporary folder when it was killed is removed first.

    Args:
        items: what to work on.
        work: called in a thread.
        place: where the work is done; abandoned when this is interrupted.
        workers: how many threads.
        done: told of each result as it comes, in this thread.
    """
    reap_scratch()
    found: dict[int, T] = {}
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="ostro-grade") as pool:
        try:  # from the first one on: leaving the pool would wait for all of them
            waiting = {pool.submit(work, one): number for number, one in enumerate(items)}
            for future in as_completed(waiting):
                found[waiting[future]] = future.result()
                done(found[waiting[future]])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            place.abandon()
            raise
    return [found[number] for number in range(len(items))]


def grade_all(
    instances: Sequence[Instance],
    predictions: Predictions,
    place: Place,
    *,
    workers: int = 1,
    done: Callable[[InstanceResult], None] = lambda _: None,
) -> list[InstanceResult]:
    """Grade the prediction of each instance that has no final grade of that very patch in the folder yet.

    One without a prediction counts as one without a patch. The folder must be locked and of these rows (`take_up`).
    """
    finished = {result.instance_id: result for _, result in read_results(place.folder)}
    left = [one for one in instances if not _stands(finished.get(one.instance_id), predictions.by_id, one)]
    found = each(left, lambda one: grade_one(one, predictions.by_id.get(one.instance_id), place), place, workers, done)
    note_images(place.folder)
    return found


def _stands(result: InstanceResult | None, predicted: Mapping[str, Prediction], instance: Instance) -> bool:
    """Whether an earlier call has graded what would be graded now."""
    if result is None or result.infra or result.grade is None:
        return False
    prediction = predicted.get(instance.instance_id)
    patch = prediction.patch if prediction else b""
    return result.patch_sha256 == _digest(patch) and result.ending == _ending(prediction)


def _digest(patch: bytes) -> str:
    return hashlib.sha256(patch).hexdigest() if patch else ""


def _ending(prediction: Prediction | None) -> str:
    return PREDICTED if prediction else NOT_PREDICTED


def grade_one(instance: Instance, prediction: Prediction | None, place: Place) -> InstanceResult:
    """Grade one prediction; a failure of the sandbox or the environment becomes an infrastructure result."""
    started = time.monotonic()
    patch = prediction.patch if prediction else b""
    _begin(place.folder_of(instance), patch)
    report, infra, tries = None, "", 1
    if not patch.strip():
        report = nothing_to_grade(instance)
    else:
        report, infra, tries = persistently(lambda: place.grade(instance, patch, place.folder_of(instance)))
    result = InstanceResult(
        instance_id=instance.instance_id,
        ending=_ending(prediction),
        grade=report,
        infra=infra,
        tries=tries,
        seconds=round(time.monotonic() - started, 3),
        patch_sha256=_digest(patch),
        patch_bytes=len(patch),
        folder=str(place.folder_of(instance).relative_to(place.folder)),
        environment=place.environments.get(instance.instance_id, ""),
    )
    folder = place.folder_of(instance)
    write_text(folder / RESULT, result.model_dump_json(indent=1) + "\n")
    return result


def _begin(folder: Path, patch: bytes) -> None:
    """Put the patch where the result will be, and remove what was said of an earlier one."""
    make_folder(folder)
    for name in (RESULT, TEST_LOG):
        (folder / name).unlink(missing_ok=True)
    (folder / PATCH).write_bytes(patch)


def persistently(attempt: Callable[[], GradeReport]) -> tuple[GradeReport | None, str, int]:
    """Try until it works; return the result, what failed at last, and how many tries it took."""
    said = ""
    for number in range(1, TRIES + 1):
        try:
            return attempt(), "", number
        except SandboxError as error:
            said = f"{error.kind}: {error}"
        except OstroError as error:  # the row or its environment: trying again would not change it
            return None, f"{error.kind}: {error}", number
    return None, said, TRIES


def manifest_of(
    kind: Literal["grade", "validate"], dataset: str, instances: Sequence[Instance], place: Place, model: str = ""
) -> RunManifest:
    """Return what a reader needs to repeat this run."""
    return RunManifest(
        kind=kind,
        run_id=place.folder.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        ostro_version=ostro_version(),
        dataset=dataset,
        dataset_sha256=dataset_digest(instances),
        instances=len(instances),
        instance_ids=tuple(one.instance_id for one in instances),
        model=model,
        sandbox=place.flavour,
        host=host_facts(),
        config={"timeout_s": place.timeout_s, "base_image": place.base_image},
    )


def counted(results: Iterable[InstanceResult]) -> dict[str, int]:
    """Return how many results there are of each status, the most frequent first."""
    counts: dict[str, int] = {}
    for one in results:
        counts[one.status] = counts.get(one.status, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
