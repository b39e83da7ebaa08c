"""One endpoint, one model there, and what they are like: the types that every file of this room speaks of.

The data comes from catalogue.toml through agent/model/catalogue.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ostro.agent.errors import ModelError

GENERIC_KEY_VARIABLE = "OSTRO_API_KEY"
UNKNOWN_CONTEXT = 32_768
"""Tokens assumed for a model that nobody described; the server's own limit shows at the first overflow."""


class FrozenModel(BaseModel):
    """Base of plain data: immutable, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EndpointProfile(FrozenModel):
    """Where requests go, whose key they carry, and how this server likes them.

    Attributes:
        key_variables: environment variables that may hold the key; the first that is set wins.
        local: runs on the user's own machine: no key needed, tokens cost nothing, the first one may take minutes.
        call_content: what stands as `content` beside tool calls without text.
        any_choice: how `tool_choice` spells "some tool".
        seed_field: name of the sampling seed; "" where none is taken.
        cache_key: whether `prompt_cache_key` is understood.
        parallel: value of `parallel_tool_calls`; None leaves it out.
        routing: how providers are pinned: in `providerOptions.gateway` or in `provider`.
        first_token_s: longest wait for the first byte of an answer.
        idle_s: longest pause within an answer.
        total_s: longest answer.
        recipe: how to start such a server by oneself.
    """

    name: str
    label: str
    base_url: str
    key_variables: tuple[str, ...] = ()
    local: bool = False
    call_content: Literal["null", "empty"] = "null"
    any_choice: Literal["any", "required"] = "required"
    seed_field: Literal["seed", "random_seed", ""] = "seed"
    cache_key: bool = False
    parallel: bool | None = None
    routing: Literal["vercel", "openrouter", ""] = ""
    first_token_s: float = 180.0
    idle_s: float = 120.0
    total_s: float = 720.0
    keys_page: str = ""
    recipe: str = ""

    @property
    def key_required(self) -> bool:
        """Whether a request without a key is hopeless."""
        return not self.local and GENERIC_KEY_VARIABLE not in self.key_variables


class Price(FrozenModel):
    """Dollars per million tokens. Without a price for cached input, it costs as much as other input."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)
    source: Literal["catalogue", "flag"] = "catalogue"


class ModelEntry(FrozenModel):
    """One model as one endpoint offers it.

    Attributes:
        id: what the endpoint calls it.
        context: tokens of prompt and reply together.
        tokenizer: Mistral's tokenizer version, "" for another family.
        providers: who may serve it behind a gateway; ("",) leaves the choice to the gateway.
        retired: from this day on the endpoint answers 404.
    """

    id: str
    name: str
    price: Price
    context: int = UNKNOWN_CONTEXT
    max_output: int = UNKNOWN_CONTEXT
    temperature: float = 0.15
    vision: bool = False
    tokenizer: str = ""
    providers: tuple[str, ...] = ()
    deprecated: date | None = None
    retired: date | None = None
    replacement: str = ""


class Target(FrozenModel):
    """Where a request goes: the endpoint and the model there."""

    profile: EndpointProfile
    model: ModelEntry


def read_key(profile: EndpointProfile, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the endpoint's own key, None where it has none and needs none.

    Raises:
        ModelError: `auth`: the endpoint needs a key and no variable holds one.
    """
    variables = os.environ if environ is None else environ
    for name in profile.key_variables:
        if value := variables.get(name, "").strip():
            return value
    if not profile.key_required:
        return None
    page = f" Keys: {profile.keys_page}" if profile.keys_page else ""
    raise ModelError(
        f"no API key for {profile.label}: {' or '.join(profile.key_variables)} is not set",
        kind="auth",
        mend=f"Set {profile.key_variables[0]}, or use another --endpoint.{page}",
    )
