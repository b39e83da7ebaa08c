"""What the agent's runs of one order have cost, those included that could not be gone on with. Read from their logs.

A run that cannot be resumed is set aside, not removed: its log is the proof of what was spent. The batch's purse and
the result of the instance count it (benchmarks/solving.py, benchmarks/harness.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ostro.agent.budget import Purse
from ostro.agent.outcome import Tokens
from ostro.agent.record.events import Compacted, Event, Planned
from ostro.agent.record.trajectory import TrajectoryError, read_events
from ostro.benchmarks.store import AGENT_RUN, logs_of


@dataclass(frozen=True)
class Spent:
    """Dollars and tokens."""

    cost_usd: float = 0.0
    tokens: Tokens = field(default_factory=Tokens)

    @property
    def token_count(self) -> int:
        """Tokens as a purse counts them: input and output, cached ones among the input."""
        return self.tokens.input + self.tokens.output

    def __add__(self, other: Spent) -> Spent:
        one, two = self.tokens, other.tokens
        tokens = Tokens(input=one.input + two.input, cached=one.cached + two.cached, output=one.output + two.output)
        return Spent(self.cost_usd + other.cost_usd, tokens)


class OrderPurse(Purse):
    """What one order draws from a batch's purse, which knows already what the order's earlier runs have spent.

    Args:
        common: of the batch; None where there is none.
        before: in the common purse already; so much of what is booked here stays here.
    """

    def __init__(self, common: Purse | None, before: Spent) -> None:
        super().__init__(budget_usd=None, common=common)
        self._before_usd, self._before_tokens = before.cost_usd, before.token_count

    def draw(self, cost_usd: float, tokens: int) -> None:
        """Book what a reply cost, or what earlier ones did."""
        with self._lock:
            self.spent_usd += cost_usd
            self.spent_tokens += tokens
            known_usd, known_tokens = min(cost_usd, self._before_usd), min(tokens, self._before_tokens)
            self._before_usd -= known_usd
            self._before_tokens -= known_tokens
        if self.common is not None:
            self.common.draw(cost_usd - known_usd, tokens - known_tokens)

    def settle(self, spent: Spent) -> None:
        """Book what is not booked yet of what the order has spent in all."""
        self.draw(max(spent.cost_usd - self.spent_usd, 0.0), max(spent.token_count - self.spent_tokens, 0))


def set_aside(folder: Path) -> None:
    """Rename the agent's run in an order's folder, so that another can begin; nothing is there: nothing is done.

    Raises:
        OSError: it cannot be renamed.
    """
    run = folder / AGENT_RUN
    if run.exists():
        run.rename(run.with_name(f"{AGENT_RUN}.aside-{len(_set_aside(folder)) + 1}"))


def spent_aside(folder: Path) -> Spent:
    """Return what the runs cost that were set aside."""
    return _sum(_spent_in(run) for run in _set_aside(folder))


def spent_in_all(folder: Path) -> Spent:
    """Return what every run in an order's folder cost until now."""
    return _sum([spent_aside(folder), _spent_in(folder / AGENT_RUN)])


def _set_aside(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{AGENT_RUN}.aside-*"))


def _spent_in(run: Path) -> Spent:
    return _sum(_cost_of(event) for log in logs_of(run.parent, run.name) for event in _readable(log))


def _cost_of(event: Event) -> Spent:
    if not isinstance(event, Planned | Compacted):
        return Spent()
    usage = event.usage
    tokens = Tokens(input=usage.input_tokens, cached=usage.cached_tokens, output=usage.output_tokens)
    return Spent(event.cost_usd, tokens)


def _readable(log: Path) -> Iterator[Event]:
    """Yield the events of a log up to where it is damaged."""
    try:
        yield from read_events(log)
    except TrajectoryError:
        return


def _sum(parts: Iterable[Spent]) -> Spent:
    return sum(parts, Spent())
