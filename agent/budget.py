"""What a run may spend: replies, dollars, tokens and wall-clock seconds; checked before each call.

Dollars and tokens are drawn from a `Purse`, which all attempts of a call, or all workers of a batch, share.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ostro.agent.model.reply import CostSource, Reply
from ostro.agent.outcome import Ending, Outcome, Tokens


@dataclass
class Purse:
    """Dollars and tokens shared between threads. None means no limit.

    Attributes:
        common: the purse of a batch, from which this one's spending is taken too.
    """

    budget_usd: float | None
    token_limit: int | None = None
    spent_usd: float = 0.0
    spent_tokens: int = 0
    common: Purse | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def draw(self, cost_usd: float, tokens: int) -> None:
        """Book what a reply cost."""
        with self._lock:
            self.spent_usd += cost_usd
            self.spent_tokens += tokens
        if self.common is not None:
            self.common.draw(cost_usd, tokens)

    def exhausted(self) -> Outcome | None:
        """Return the outcome that an empty purse means."""
        with self._lock:
            if self.budget_usd is not None and self.spent_usd >= self.budget_usd and self.spent_usd > 0:
                reason = f"${self.spent_usd:.4f} spent of ${self.budget_usd:.2f}"
                return Outcome(ending=Ending.COST_LIMIT, reason=reason)
            if self.token_limit is not None and self.spent_tokens >= self.token_limit:
                reason = f"{self.spent_tokens} tokens used of {self.token_limit}"
                return Outcome(ending=Ending.TOKEN_LIMIT, reason=reason)
        return self.common.exhausted() if self.common is not None else None


@dataclass
class Budget:
    """The limits of one attempt.

    Attributes:
        steps: most replies.
        deadline: on the clock of `clock`, seconds; wall-clock changes do not move it.
    """

    steps: int
    deadline: float
    purse: Purse
    clock: Callable[[], float] = time.monotonic
    used_steps: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: float = 0.0
    cost_source: CostSource = "catalogue"

    def exhausted(self) -> Outcome | None:
        """Return the outcome of the first limit that is reached, None while the run may go on."""
        if self.used_steps >= self.steps:
            return Outcome(ending=Ending.STEP_LIMIT, reason=f"{self.used_steps} steps of {self.steps} used")
        if self.seconds_left() <= 0:
            return Outcome(ending=Ending.TIME_LIMIT, reason="the time limit was reached")
        return self.purse.exhausted()

    def seconds_left(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.deadline - self.clock()

    def spend(self, reply: Reply) -> None:
        """Book one reply."""
        usage = reply.usage
        self.used_steps += 1
        self.tokens = Tokens(
            input=self.tokens.input + usage.input_tokens,
            cached=self.tokens.cached + usage.cached_tokens,
            output=self.tokens.output + usage.output_tokens,
        )
        self.cost_usd += reply.cost_usd
        if self.used_steps == 1 or reply.cost_source == "estimated":
            self.cost_source = reply.cost_source
        self.purse.draw(reply.cost_usd, usage.input_tokens + usage.output_tokens)
