"""What is done about a failed request: one policy for every endpoint, as a pure function.

agent/model/client.py follows it; agent/model/gate.py shares its cool-downs between workers.
"""

from __future__ import annotations

import random

from ostro.agent.errors import ModelErrorKind
from ostro.agent.model.failure import TryError

MAX_TRIES = 6
MAX_CALL_S = 600.0
"""Seconds that the waits and tries of one call may take together before the policy gives up."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
FIRST_CEILING_S = 4.0
TRIES_BEFORE_FIRST_ANSWER = 3
"""Of an endpoint that never answered: more likely a wrong address than an outage."""
RETRIED: frozenset[ModelErrorKind] = frozenset({"rate", "transient", "unreachable", "protocol"})


def next_wait(failure: TryError, tries: int, budget_s: float, *, answered_before: bool, rng: random.Random) -> float:
    """Return how many seconds to wait before the next try, or a negative number to give up.

    Full jitter between 1 and 60 seconds, its ceiling doubling from 4; what the server asks for is honoured where
    it fits the budget. A rate limit that does not fit ends the call; a broken server's absurd wish is ignored.

    Args:
        failure: what happened.
        tries: requests made so far, this one included.
        budget_s: seconds left for this call.
        answered_before: whether the endpoint has ever answered this client.
        rng: source of the jitter.
    """
    if failure.final or failure.model_kind not in RETRIED or tries >= MAX_TRIES:
        return -1.0
    if failure.cause == "no_connection" and not answered_before and tries >= TRIES_BEFORE_FIRST_ANSWER:
        return -1.0
    asked = failure.retry_after_s
    if asked is not None and asked > budget_s and failure.model_kind == "rate":
        return -1.0
    ceiling = min(LONGEST_WAIT_S, FIRST_CEILING_S * 2 ** (tries - 1))
    wait = rng.uniform(FIRST_WAIT_S, ceiling)
    if asked is not None and asked <= budget_s:
        wait = asked + rng.uniform(0.0, min(FIRST_WAIT_S, asked))
    return wait if wait < budget_s else -1.0
