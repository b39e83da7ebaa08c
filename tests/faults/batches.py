"""A batch with work that costs nothing, as a process of its own that may be killed: `python -m tests.faults.batches`.

OUT COUNT KILL_AFTER CRASHING    work on COUNT instances; SIGKILL this process after KILL_AFTER results (0: never);
                                 the instance of number CRASHING (0: none) raises every time
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ostro.agent.budget import Purse
from ostro.agent.config import Settings
from ostro.benchmarks.engine import ThreadEngine
from ostro.benchmarks.eval_request import EvalRequest
from ostro.benchmarks.harness import evaluate
from ostro.benchmarks.instance import Instance
from ostro.benchmarks.orders import WorkOrder
from ostro.benchmarks.results import GradeReport, InstanceResult
from ostro.benchmarks.store import Run

BEGUN = "begun.log"
"""In the run folder: a line for each time that an order was begun."""


def instances(count: int) -> tuple[Instance, ...]:
    """Return rows that name no environment: nothing of them is run."""
    return tuple(
        Instance(instance_id=f"batch__task-{number}", repo="batch", problem_statement=f"Task {number}.")
        for number in range(1, count + 1)
    )


def request_for(out: Path, count: int, **changes: object) -> EvalRequest:
    """Return a batch of `count` instances."""
    settings = Settings(model="none", budget=100.0, home=out / "home", **changes)  # type: ignore[arg-type]
    return EvalRequest(instances=instances(count), dataset="made", settings=settings, out=out, flavour="local")


class Silent:
    """A watcher that counts; the process is killed once it saw `kill_after` results."""

    def __init__(self, kill_after: int = 0) -> None:
        self.results: list[InstanceResult] = []
        self._kill_after = kill_after

    def ended(self, order: WorkOrder, result: InstanceResult | None) -> None:
        if result is not None:
            self.results.append(result)
        if self._kill_after and len(self.results) >= self._kill_after:
            os.kill(os.getpid(), signal.SIGKILL)


def cheap_work(purse: Purse, crashing: int = 0) -> Callable[[WorkOrder], InstanceResult]:
    """Return work that notes its beginning and resolves the instances with an even number."""

    def work(order: WorkOrder) -> InstanceResult:
        with (order.folder.parents[1] / BEGUN).open("a") as begun:
            begun.write(f"{order.instance.instance_id}\n")
        number = int(order.instance.instance_id.rpartition("-")[2])
        if number == crashing:
            raise ZeroDivisionError("this task crashes its worker")
        purse.draw(0.25, 10)
        verdict = GradeReport(verdict="unresolved" if number % 2 else "resolved", consistency="consistent")
        return InstanceResult(
            instance_id=order.instance.instance_id,
            sample=order.sample,
            ending="submitted",
            grade=verdict,
            cost_usd=0.25,
            tries=order.earlier_tries + 1,
        )

    return work


def drive(out: Path, count: int, *, workers: int = 2, kill_after: int = 0, crashing: int = 0) -> tuple[Run, str]:
    """Run the batch in this process."""
    return evaluate(
        request_for(out, count), ThreadEngine(workers), lambda purse: cheap_work(purse, crashing), Silent(kill_after)
    )


if __name__ == "__main__":
    drive(Path(sys.argv[1]), int(sys.argv[2]), kill_after=int(sys.argv[3]), crashing=int(sys.argv[4]))
