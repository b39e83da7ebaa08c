"""How a batch is shown while it works: a live table on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from ostro.cli.terminal import dollars, seconds

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ostro.agent.record.events import Event
    from ostro.benchmarks.orders import WorkOrder
    from ostro.benchmarks.results import InstanceResult

REFRESH_PER_SECOND = 4


class BatchScreen:
    """Told how a batch goes on (`ostro.benchmarks.harness.Watcher`), from any thread.

    Args:
        stream: stderr.
        total: orders of the batch, those that are done already included.
        finished: results that stood before.
    """

    def __init__(self, stream: TextIO, total: int, finished: list[InstanceResult]) -> None:
        self._stream = stream
        self._total = total
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._before = len(finished)
        self._results = {(result.instance_id, result.sample): (result.status, result.cost_usd) for result in finished}
        self._under_way: dict[tuple[str, int], tuple[float, int, float]] = {}
        self._notices: list[str] = []
        self._live = stream.isatty()
        self._screen: object | None = None

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console
            from rich.live import Live

            console: Console = Console(file=self._stream)
            live = Live(get_renderable=self._table, console=console, refresh_per_second=REFRESH_PER_SECOND)
            live.start()
            self._screen = live
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._screen is not None:
            from rich.live import Live

            assert isinstance(self._screen, Live)
            self._screen.stop()

    @property
    def _statuses(self) -> Counter[str]:
        return Counter(status for status, _ in self._results.values())

    @property
    def _spent(self) -> float:
        return sum(cost for _, cost in self._results.values())

    def begun(self, order: WorkOrder) -> None:
        """A worker took up an order."""
        with self._lock:
            self._under_way[order.key] = (time.monotonic(), 0, 0.0)

    def event(self, order: WorkOrder, event: Event) -> None:
        """The order's agent wrote an event."""
        if event.type == "planned":
            with self._lock:
                since, steps, spent = self._under_way.get(order.key, (time.monotonic(), 0, 0.0))
                self._under_way[order.key] = (since, steps + 1, spent + event.cost_usd)

    def ended(self, order: WorkOrder, result: InstanceResult | None) -> None:
        """A worker put an order down."""
        with self._lock:
            self._under_way.pop(order.key, None)
            if result is None:
                return
            self._results[order.key] = (result.status, result.cost_usd)  # a second try tells again what it cost
            line = f"{self._name(order)}: {result.status}, {result.ending}, {result.steps} steps"
            detail = f" ({result.infra})" if result.infra else ""
            cost = f", {dollars(result.cost_usd)}" if self._spent else ""
            tail = f"{cost}, {seconds(result.seconds)}{detail}; {self._progress()}"
        self._print(line + tail)

    def say(self, text: str) -> None:
        """Something that takes time, or a warning."""
        self._print(text)

    def _print(self, line: str) -> None:
        if not self._live:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        else:
            with self._lock:
                self._notices = [*self._notices[-4:], line]

    @staticmethod
    def _name(order: WorkOrder) -> str:
        return order.instance.instance_id + (f"@{order.sample}" if order.sample > 1 else "")

    def _progress(self) -> str:
        """Return one line: done of all, resolved, spend, its projection, and when it will be over."""
        done, spent = len(self._results), self._spent
        fresh = done - self._before
        parts = [f"{done} of {self._total} done", f"{self._statuses['resolved']} resolved"]
        parts += [dollars(spent)] if spent else []
        if fresh and done < self._total:
            left_s = (time.monotonic() - self._started) / fresh * (self._total - done)
            parts += [f"about {dollars(spent / done * self._total)} in all"] if spent else []
            parts.append(f"about {seconds(left_s)} left")
        return ", ".join(parts)

    def _table(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            done = len(self._results)
            table = Table(box=None, pad_edge=False)
            for name, justify in (("instance", "left"), ("steps", "right"), ("spent", "right"), ("time", "right")):
                table.add_column(name, justify="left" if justify == "left" else "right")
            for key, (since, steps, spent) in list(self._under_way.items()):
                name = key[0] + (f"@{key[1]}" if key[1] > 1 else "")
                table.add_row(name, str(steps), dollars(spent), seconds(time.monotonic() - since))
            counts = "  ".join(f"{status} {count}" for status, count in sorted(self._statuses.items()))
            bar = Table.grid()  # alone, it would leave its line open
            bar.add_row(ProgressBar(total=max(self._total, 1), completed=done, width=60))
            return Group(
                bar,
                Text(self._progress()),
                Text(counts),
                *([table] if self._under_way else []),
                *(Text(line, overflow="ellipsis", no_wrap=True, style="dim") for line in self._notices),
            )
