"""Where the work of a batch is done: one protocol, threads of this process as the default.

An engine only places work. What has been done is decided by the run folder (benchmarks/store.py), so that every engine
may lose or repeat an order without harm. benchmarks/ray_engine.py is the other one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ostro.agent.interruption import interruptible

OrderT = TypeVar("OrderT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Done(Generic[OrderT, ResultT]):
    """An order that came back: with its result, or with what went wrong where it was worked on."""

    order: OrderT
    result: ResultT | None = None
    error: BaseException | None = None


class Engine(Protocol):
    """Hands orders to workers."""

    @property
    def here(self) -> bool:
        """Whether workers share the memory of this process, so that what they spend is booked as they go."""
        ...

    def run(
        self, orders: Sequence[OrderT], work: Callable[[OrderT], ResultT], stop: Callable[[], bool]
    ) -> Iterator[Done[OrderT, ResultT]]:
        """Yield each order as it comes back, in any order.

        Args:
            orders: what is to be done.
            work: does one; called wherever the engine's workers are.
            stop: asked before an order is handed out; once true no more are, and those under way are waited for.
        """
        ...


class ThreadEngine:
    """Workers are threads of this process: a sandbox and a model keep them waiting, not the processor.

    An interrupt (Ctrl-C) while it waits drains it: what is under way is finished, nothing more is begun.

    Attributes:
        drained: an interrupt came.
    """

    here = True

    def __init__(self, workers: int, on_drain: Callable[[], None] = lambda: None) -> None:
        self._workers = workers
        self._on_drain = on_drain
        self.drained = False

    def run(
        self, orders: Sequence[OrderT], work: Callable[[OrderT], ResultT], stop: Callable[[], bool]
    ) -> Iterator[Done[OrderT, ResultT]]:
        """See `Engine.run`."""
        waiting = deque(orders)
        running: dict[Future[ResultT], OrderT] = {}
        with ThreadPoolExecutor(self._workers, thread_name_prefix="ostro-worker") as pool:
            while True:
                while waiting and len(running) < self._workers and not self.drained and not stop():
                    order = waiting.popleft()
                    running[pool.submit(work, order)] = order
                if not running:
                    return
                for future in self._next(running):
                    order = running.pop(future)
                    error = future.exception()
                    yield Done(order, error=error) if error else Done(order, result=future.result())

    def _next(self, running: dict[Future[ResultT], OrderT]) -> set[Future[ResultT]]:
        if not self.drained:
            try:
                with interruptible():
                    return wait(running, return_when=FIRST_COMPLETED).done
            except KeyboardInterrupt:
                self.drained = True
                self._on_drain()
        return wait(running, return_when=FIRST_COMPLETED).done
