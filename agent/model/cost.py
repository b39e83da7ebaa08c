"""What a reply cost: the endpoint's own figure, else tokens times price; never nothing where tokens were used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostro.agent.model.loose import count, mapping
from ostro.agent.model.profile import Price
from ostro.agent.model.reply import CostSource, Usage

PER_MILLION = 1_000_000


def read_usage(raw: Mapping[str, Any] | None) -> Usage | None:
    """Return the tokens that the server reported; None when it reported none that can be true."""
    if raw is None:
        return None
    prompt, output = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    if prompt <= 0:
        return None
    cached = count(mapping(raw.get("prompt_tokens_details")).get("cached_tokens"))
    return Usage(input_tokens=prompt, cached_tokens=min(cached, prompt), output_tokens=output)


def priced(usage: Usage, price: Price) -> float:
    """Return dollars for these tokens; cached input costs its own price where there is one."""
    cached_price = price.input if price.cached is None else price.cached
    fresh = usage.input_tokens - usage.cached_tokens
    dollars = fresh * price.input + usage.cached_tokens * cached_price + usage.output_tokens * price.output
    return dollars / PER_MILLION


def cost_of(usage: Usage, price: Price, reported_usd: float | None) -> tuple[float, CostSource]:
    """Return dollars of one reply and where the figure comes from."""
    if reported_usd is not None:
        return reported_usd, "reported"
    return priced(usage, price), price.source if usage.exact else "estimated"
