"""The effective configuration: one pydantic-settings model, every field documented, later sources win.

defaults < ~/.config/ostro/config.toml < ostro.toml or [tool.ostro] of the target repository (a few keys only)
< environment OSTRO_* < flags. `agent.config_sources` reads the sources and remembers where each value came from.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from ostro.sandbox.plain_data import as_table
from ostro.sandbox.policy_rules import ADJUSTABLE, Level, RuleName

SandboxChoice = Literal["auto", "docker", "local", "none"]

DEFAULT_MODEL = "mistral/devstral-small-2"
DEFAULT_STEPS = 150
DEFAULT_BUDGET_USD = 1.0
DEFAULT_TIME_S = 3600.0
MOST_TIME_S = 7 * 86400.0
"""The system waits in milliseconds of 32 bits: 24 days at most."""

DEFAULT_MAX_TOKENS = 4096
DEFAULT_TEMPERATURE = 0.15

LIMIT_KEYS = frozenset({"steps", "budget", "time", "tokens"})
REPOSITORY_KEYS = frozenset({"image", "setup", "test", "instructions"}) | LIMIT_KEYS
"""What a target repository may set: a repository is untrusted. Limits only downwards."""


class Settings(BaseSettings):
    """Everything that can be configured. The description of a field is its documentation.

    Making one reads nothing but its arguments; `agent.config_sources.load` reads the sources and merges them.
    """

    model_config = SettingsConfigDict(env_prefix="OSTRO_", extra="forbid", frozen=True)

    model: str = Field(DEFAULT_MODEL, description="Model id as the endpoint knows it.")
    endpoint: str = Field(
        "vercel", description="Name of a catalogued endpoint, or the base URL of an OpenAI-compatible one."
    )
    price: Annotated[tuple[float, float] | None, NoDecode] = Field(
        None,
        description="Dollars per million input and output tokens; needed for an unknown model; 0,0 if local.",
    )
    temperature: float = Field(DEFAULT_TEMPERATURE, ge=0, le=2, description="Sampling temperature.")
    seed: int | None = Field(None, description="Sampling seed, sent where the endpoint takes one.")
    max_tokens: int = Field(DEFAULT_MAX_TOKENS, ge=16, description="Longest single reply, tokens.")
    stream: bool = Field(True, description="Stream replies, so that a stalled one is noticed early.")
    vision: bool = Field(True, description="Show images of the issue to a model with vision.")
    tools: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None, description="Tools that the model gets, separated by commas; all by default, `submit` always."
    )

    steps: int = Field(DEFAULT_STEPS, ge=1, description="Most model replies in one attempt.")
    budget: float = Field(
        DEFAULT_BUDGET_USD, ge=0, allow_inf_nan=False, description="Dollars for the whole call, attempts included."
    )
    tokens: int | None = Field(None, ge=1, description="Most input and output tokens together; none by default.")
    time: float = Field(DEFAULT_TIME_S, gt=0, le=MOST_TIME_S, description="Wall-clock seconds for the whole call.")
    attempts: int = Field(1, ge=1, le=16, description="Independent tries; the best one is selected.")

    sandbox: SandboxChoice = Field("auto", description="Where commands run: docker, local, none, or the best there is.")
    image: str | None = Field(None, description="Container image of the sandbox.")
    setup: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None, description="Commands that prepare the environment, one a line; detected if unset."
    )
    test: str | None = Field(None, description="Command that tests the repository; detected if unset, '' for none.")
    instructions: str = Field("", description="Extra text for the model, shown as data.")
    command_timeout: float = Field(
        120.0, gt=0, le=MOST_TIME_S, description="Default limit of one shell command, seconds."
    )
    memory: str = Field("4g", description="Memory limit of the sandbox.")
    network: bool = Field(False, description="Let the agent reach the package registries through the proxy.")

    policy: Annotated[dict[RuleName, Level], NoDecode] = Field(
        {},
        description="What happens to what a rule on patches finds, like ci=reported hook=refused (docs/security.md).",
    )
    masking: bool = Field(True, description="Mask old observations when the context fills up.")
    skip_preflight: bool = Field(False, description="Start even where a preflight check fails.")
    home: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "ostro",
        description="Where runs, clones, images and caches are kept (OSTRO_HOME).",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the library's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the arguments only: `config_sources` reads the environment, so that origins stay known."""
        return (init_settings,)

    @field_validator("price", mode="before")
    @classmethod
    def _split_price(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            prompt, reply = map(float, value.split(","))
        except ValueError as error:
            raise ValueError("it takes two numbers, like 0.10,0.30") from error
        return prompt, reply

    @field_validator("policy", mode="before")
    @classmethod
    def _split_policy(cls, value: object) -> object:
        levels = value
        if isinstance(value, str):
            pairs = [pair.partition("=") for pair in re.split(r"[\s,]+", value) if pair]
            levels = {name: level for name, _, level in pairs}
        odd = [name for name in as_table(levels) if name not in ADJUSTABLE]
        if odd:
            raise ValueError(f"no rule {odd[0]!r} can be set; there are {', '.join(ADJUSTABLE)}")
        return levels

    @field_validator("tools", mode="before")
    @classmethod
    def _split_tools(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("setup", mode="before")
    @classmethod
    def _split_setup(cls, value: object) -> object:
        return tuple(line for line in value.splitlines() if line.strip()) if isinstance(value, str) else value
