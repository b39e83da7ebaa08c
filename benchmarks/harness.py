"""A batch: many orders, several workers, one budget; whatever ends the process, the same command goes on.

The run folder is the only truth (benchmarks/store.py). An instance is done when its result.json stands there; a result
that cannot be read is made again. Infrastructure failures are tried again, in this call and in the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from ostro.agent.budget import Purse
from ostro.agent.config import Settings
from ostro.agent.errors import UsageError
from ostro.agent.interruption import kept_back
from ostro.agent.model.catalogue import resolve
from ostro.agent.model.profile import read_key
from ostro.agent.outcome import Ending
from ostro.agent.record.lock import RunLock
from ostro.agent.toolset import toolset_digest, toolset_of
from ostro.agent.version import ostro_version
from ostro.benchmarks.engine import Done, Engine
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.manifest import dataset_digest, host_facts, note_images, take_up
from ostro.benchmarks.orders import Policy, WorkOrder
from ostro.benchmarks.recipe import Flavour
from ostro.benchmarks.results import InstanceResult, RunManifest
from ostro.benchmarks.solving import NotFinalError
from ostro.benchmarks.spending import spent_in_all
from ostro.benchmarks.store import (
    RESULT,
    Run,
    instance_folder,
    make_folder,
    read_results,
    read_run,
    remove_damaged,
    write_text,
)
from ostro.prompts.render import prompts_digest

INFRA_TRIES = 2
"""How often an order is begun in one call before its infrastructure failure stands as its result."""

LEAST_FREE_BYTES = 2 * 1024**3
"""Free room on the run folder's disk below which no order is handed out."""

HOPELESS = ("auth", "credit", "gone")
"""Kinds of model errors that every other order would meet too."""

AWAY = ("unavailable", "transport", "unreachable")
"""Kinds of failures that say that no engine or no endpoint answers, or that this machine allows no sandbox."""

BREAKER = 3
"""So many of them in a row, and no further order is handed out: each would only fail, too."""


@dataclass(frozen=True)
class Subject:
    """The model that is measured, as its endpoint and the catalogue know it.

    Attributes:
        price: dollars per million input and output tokens.
        tools_sha256: over the tools that it is offered.
    """

    model: str
    price: tuple[float, float]
    tools_sha256: str


def subject_of(settings: Settings) -> Subject:
    """Return what is measured; called before anything is built, so that a wrong name or a missing key costs nothing.

    Raises:
        UsageError: the endpoint, the model, its price or a tool is not known.
        ModelError: `auth`: the endpoint's key is not set.
    """
    target = resolve(settings.model, settings.endpoint, settings.price)
    read_key(target.profile)
    price = target.model.price
    return Subject(target.model.id, (price.input, price.output), toolset_digest(toolset_of(settings, target.model)))


@dataclass(frozen=True)
class EvalRequest:
    """What a batch is to do.

    Attributes:
        dataset: name of the task set, for the manifest.
        settings: of the agent; `budget` is for the whole batch.
        out: the run folder; one that holds a part of the same batch is gone on with.
        instance_budget: dollars for one sample of one instance.
        quarantine: instances that `ostro validate` found broken or flaky, with the reason.
        subject: what is measured; None for a scripted policy.
    """

    instances: tuple[Instance, ...]
    dataset: str
    settings: Settings
    out: Path
    flavour: Flavour
    policy: Policy = "model"
    samples: int = 1
    instance_budget: float | None = None
    base_image: str = ""
    quarantine: Mapping[str, str] = field(default_factory=dict[str, str])
    subject: Subject | None = None


class Watcher(Protocol):
    """Told how a batch goes on; returns quickly."""

    def ended(self, order: WorkOrder, result: InstanceResult | None) -> None:
        """A worker put an order down; None: it is not final."""
        ...


Work = Callable[[WorkOrder], InstanceResult]
"""Does one order; raises NotFinalError when the batch's purse is empty."""


@dataclass
class Batch:
    """One call of `evaluate`.

    Attributes:
        stopped: why no more orders are handed out; "" while they are.
    """

    request: EvalRequest
    engine: Engine
    work: Work
    watcher: Watcher
    purse: Purse
    stopped: str = ""
    _away: int = 0

    def drive(self, orders: Sequence[WorkOrder]) -> None:
        """Do the orders; those that failed for want of infrastructure once more."""
        for left in reversed(range(INFRA_TRIES)):
            again: list[tuple[WorkOrder, InstanceResult]] = []
            for done in self.engine.run(orders, self.work, self._stop):
                result = self._take(done)
                self.watcher.ended(done.order, result)
                if result is not None and result.infra:
                    again.append((done.order, result))
            if not left or not again or self.stopped:
                return
            orders = [self._begun_again(order, result) for order, result in again]

    def _begun_again(self, order: WorkOrder, result: InstanceResult) -> WorkOrder:
        """Return the order for another try; its next result tells again what this one has cost."""
        if not self.engine.here:
            self.purse.draw(-result.cost_usd, -(result.tokens.input + result.tokens.output))
        return order.model_copy(update={"earlier_tries": result.tries})

    def _take(self, done: Done[WorkOrder, InstanceResult]) -> InstanceResult | None:
        """Keep a result; what crashed the worker is an infrastructure failure of ours, and told apart by its text."""
        result = done.result
        if isinstance(done.error, NotFinalError):
            self._stop()  # says why, also where no further order would have asked
            return None
        if result is None:
            result = InstanceResult(
                instance_id=done.order.instance.instance_id,
                sample=done.order.sample,
                ending="internal_error",
                infra=f"the worker crashed: {type(done.error).__name__}: {done.error}",
                infra_kind="crash",
                tries=done.order.earlier_tries + 1,
            )
        if not self.engine.here:
            self.purse.draw(result.cost_usd, result.tokens.input + result.tokens.output)
        self._away = self._away + 1 if result.infra_kind in AWAY else 0
        hopeless = result.ending == Ending.MODEL_ERROR and result.infra_kind in HOPELESS
        if (hopeless or self._away >= BREAKER) and not self.stopped:
            self.stopped = result.infra
        result = result.model_copy(update={"flagged": self.request.quarantine.get(result.instance_id, "")})
        write_result(self.request.out, result)
        return result

    def _stop(self) -> bool:
        if not self.stopped and (empty := self.purse.exhausted()):
            self.stopped = f"the budget is used up: {empty.reason}"
        if not self.stopped and shutil.disk_usage(self.request.out).free < LEAST_FREE_BYTES:
            self.stopped = f"less than {LEAST_FREE_BYTES // 1024**3} GiB are free at {self.request.out}"
        return bool(self.stopped)


def evaluate(
    request: EvalRequest, engine: Engine, work_with: Callable[[Purse], Work], watcher: Watcher
) -> tuple[Run, str]:
    """Do what is left of a batch and return it as it then stands on the disk, and why it stopped early ("" if not).

    Args:
        request: what to do.
        engine: where.
        work_with: makes what does one order, from the purse that all of them share where the engine is `here`.
        watcher: told of every result.

    Raises:
        UsageError: the folder holds another batch; another process works on it.
        StorageError: it cannot be written.
    """
    make_folder(request.out)
    with kept_back(late=False), RunLock(request.out):
        take_up(manifest_of(request), request.instances, request.out)
        remove_damaged(request.out)
        finished = dict(read_results(request.out))
        purse = Purse(budget_usd=request.settings.budget, token_limit=request.settings.tokens)
        for result in filter(_is_final, finished.values()):
            purse.draw(result.cost_usd, result.tokens.input + result.tokens.output)
        orders = [order for order in orders_of(request) if not _is_final(finished.get(order.key))]
        for spent in (spent_in_all(order.folder) for order in orders if engine.here):
            purse.draw(spent.cost_usd, spent.token_count)
        batch = Batch(request, engine, work_with(purse), watcher, purse)
        batch.drive(orders)
        note_images(request.out)
        return read_run(request.out), batch.stopped


def orders_of(request: EvalRequest) -> Iterator[WorkOrder]:
    """Yield every order of a batch; the first samples of all instances come before the second ones."""
    for sample in range(1, request.samples + 1):
        for instance in request.instances:
            yield WorkOrder(
                instance=instance,
                sample=sample,
                folder=instance_folder(request.out, instance.instance_id, sample),
                settings=_sampled(request.settings, sample),
                flavour=request.flavour,
                policy=request.policy,
                instance_budget=request.instance_budget,
                base_image=request.base_image,
            )


def read_quarantine(path: Path) -> dict[str, str]:
    """Return the reasons by instance id, from the quarantine.json of `ostro validate`.

    Raises:
        UsageError: it is not such a file.
    """
    try:
        return TypeAdapter(dict[str, str]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{path} is no list of quarantined instances", mend="Use the file of `ostro validate`."
        ) from error


def write_result(out: Path, result: InstanceResult) -> None:
    """Keep a result; from then on its order is done."""
    folder = instance_folder(out, result.instance_id, result.sample)
    kept = result.model_copy(update={"folder": str(folder.relative_to(out))})
    write_text(folder / RESULT, kept.model_dump_json(indent=1) + "\n")


def manifest_of(request: EvalRequest) -> RunManifest:
    """Return what will run, as data."""
    settings = request.settings
    scripted, subject = request.policy != "model", request.subject
    named = subject.model if subject else settings.model
    return RunManifest(
        kind="eval",
        run_id=request.out.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        ostro_version=ostro_version(),
        dataset=request.dataset,
        dataset_sha256=dataset_digest(request.instances),
        instances=len(request.instances),
        instance_ids=tuple(instance.instance_id for instance in request.instances),
        samples=request.samples,
        model=f"{request.policy} (scripted)" if scripted else named,
        endpoint="" if scripted else settings.endpoint,
        sampling={"temperature": settings.temperature, "seed": settings.seed, "max_tokens": settings.max_tokens},
        price=subject.price if subject else settings.price,
        prompt_sha256=prompts_digest(),
        tools_sha256=subject.tools_sha256 if subject else "",
        sandbox=request.flavour,
        seed=settings.seed,
        host=host_facts(),
        config={
            **settings.model_dump(mode="json", exclude={"home"}),
            "instance_budget": request.instance_budget,
            "base_image": request.base_image,
        },
    )


def _is_final(result: InstanceResult | None) -> bool:
    return result is not None and not result.infra


def _sampled(settings: Settings, sample: int) -> Settings:
    """Return the settings of one sample: a seed of its own, where there is one."""
    return settings if settings.seed is None else settings.model_copy(update={"seed": settings.seed + sample - 1})
