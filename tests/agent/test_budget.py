"""Limits of a run."""

from __future__ import annotations

from ostro.agent.budget import Budget, Purse
from ostro.agent.model.reply import Reply, Usage
from ostro.agent.outcome import Ending, Outcome


def reply(cost_usd: float = 0.0, tokens: int = 0) -> Reply:
    return Reply(cost_usd=cost_usd, usage=Usage(input_tokens=tokens, output_tokens=1))


def ending(outcome: Outcome | None) -> Ending | None:
    return outcome.ending if outcome else None


def test_exhausted_when_each_limit_is_reached_then_its_own_ending() -> None:
    now = [0.0]

    def budget(purse: Purse, steps: int = 10) -> Budget:
        return Budget(steps=steps, deadline=60.0, purse=purse, clock=lambda: now[0])

    steps = budget(Purse(budget_usd=1.0), steps=1)
    assert ending(steps.exhausted()) is None
    steps.spend(reply())
    assert ending(steps.exhausted()) is Ending.STEP_LIMIT

    dollars = budget(Purse(budget_usd=0.5))
    dollars.spend(reply(cost_usd=0.5))
    assert ending(dollars.exhausted()) is Ending.COST_LIMIT

    tokens = budget(Purse(budget_usd=None, token_limit=100))
    tokens.spend(reply(tokens=100))
    assert ending(tokens.exhausted()) is Ending.TOKEN_LIMIT

    timed = budget(Purse(budget_usd=None))
    now[0] = 60.0
    assert ending(timed.exhausted()) is Ending.TIME_LIMIT


def test_exhausted_when_the_model_is_free_then_a_budget_of_zero_does_not_stop_it() -> None:
    budget = Budget(steps=10, deadline=float("inf"), purse=Purse(budget_usd=0.0))
    budget.spend(reply())
    assert budget.exhausted() is None


def test_purse_when_shared_by_two_attempts_then_one_limit_for_both() -> None:
    purse = Purse(budget_usd=1.0)
    first = Budget(steps=9, deadline=float("inf"), purse=purse)
    second = Budget(steps=9, deadline=float("inf"), purse=purse)
    first.spend(reply(cost_usd=0.6))
    second.spend(reply(cost_usd=0.6))
    assert ending(first.exhausted()) is Ending.COST_LIMIT
    assert first.cost_usd == 0.6
    assert purse.spent_usd == 1.2


def test_spend_when_one_reply_had_no_usage_then_the_whole_cost_is_estimated() -> None:
    budget = Budget(steps=9, deadline=float("inf"), purse=Purse(budget_usd=1.0))
    budget.spend(Reply(cost_source="reported"))
    budget.spend(Reply(cost_source="estimated"))
    budget.spend(Reply(cost_source="reported"))
    assert budget.cost_source == "estimated"
