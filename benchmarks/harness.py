"""A batch: many orders, several workers, one budget; whatever ends the process, the same command goes on.

The run folder is the only truth (benchmarks/store.py). An instance is done when its result.json stands there; a result
that cannot be read is made again. Infrastructure failures are tried again, in this call and in the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ostro.agent.budget import Purse
from ostro.agent.interruption import kept_back
from ostro.agent.outcome import Ending
from ostro.agent.record.lock import RunLock
from ostro.benchmarks.engine import Done, Engine
from ostro.benchmarks.eval_request import EvalRequest, manifest_of, orders_of
from ostro.benchmarks.manifest import note_images, take_up
from ostro.benchmarks.orders import WorkOrder
from ostro.benchmarks.results import InstanceResult
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
            spent = spent_in_all(done.order.folder)
            result = InstanceResult(
                instance_id=done.order.instance.instance_id,
                sample=done.order.sample,
                ending="internal_error",
                infra=f"the worker crashed: {type(done.error).__name__}: {done.error}",
                infra_kind="crash",
                tries=done.order.earlier_tries + 1,
                tokens=spent.tokens,
                cost_usd=round(spent.cost_usd, 6),
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
        finished = {key: _flagged(request, result) for key, result in read_results(request.out)}
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


def _flagged(request: EvalRequest, result: InstanceResult) -> InstanceResult:
    """Return a finished result under the quarantine of this call, which is for all of the batch, and keep it so."""
    reason = request.quarantine.get(result.instance_id, "")
    if result.flagged == reason:
        return result
    changed = result.model_copy(update={"flagged": reason})
    write_result(request.out, changed)
    return changed


def write_result(out: Path, result: InstanceResult) -> None:
    """Keep a result; from then on its order is done."""
    folder = instance_folder(out, result.instance_id, result.sample)
    kept = result.model_copy(update={"folder": str(folder.relative_to(out))})
    write_text(folder / RESULT, kept.model_dump_json(indent=1) + "\n")


def _is_final(result: InstanceResult | None) -> bool:
    return result is not None and not result.infra
