"""Ray as the engine of a batch: workers on many machines (extra `ostro[ray]`).

Ray only places work. Tasks are run at least once: an order whose node died is done again elsewhere, and whichever
result.json is written last stands, for the same order. The run folder has to be seen under one path by every node.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ostro.agent.errors import UsageError
from ostro.benchmarks.engine import Done, OrderT, ResultT

NODE_TRIES = 3
"""How often Ray begins a task anew when its node or worker dies."""


class RayEngine:
    """Workers are Ray tasks.

    Args:
        workers: most orders under way at once, over all nodes.
        address: of the cluster; None takes the one that is running, or starts one on this machine.
        resources: what a task takes of a node, `{"sandbox": 1}`; nodes are started with what they have.
    """

    here = False

    def __init__(self, workers: int, address: str | None = None, resources: dict[str, float] | None = None) -> None:
        self._workers = workers
        self._resources = resources or {}
        self._ray = _ray()
        if not self._ray.is_initialized():
            self._ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level="ERROR")

    def run(
        self, orders: Sequence[OrderT], work: Callable[[OrderT], ResultT], stop: Callable[[], bool]
    ) -> Iterator[Done[OrderT, ResultT]]:
        """See `Engine.run`; `work` and the orders are sent to the nodes."""
        remote = self._ray.remote(max_retries=NODE_TRIES, num_cpus=1, resources=self._resources)(work)
        waiting = deque(orders)
        running: dict[Any, OrderT] = {}
        while True:
            while waiting and len(running) < self._workers and not stop():
                order = waiting.popleft()
                running[remote.remote(order)] = order
            if not running:
                return
            for reference in self._ray.wait(list(running), num_returns=1)[0]:
                order = running.pop(reference)
                try:
                    yield Done(order, result=self._ray.get(reference))
                except self._ray.exceptions.RayTaskError as error:
                    yield Done(order, error=error.cause or error)
                except self._ray.exceptions.RayError as error:
                    yield Done(order, error=error)


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise UsageError("Ray is not installed", mend='Install it: pip install "ostro[ray]".') from error
