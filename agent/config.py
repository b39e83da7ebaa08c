"""The effective configuration: one pydantic-settings model, every field documented, later sources win.

defaults < ~/.config/ostro/config.toml < ostro.toml or [tool.ostro] of the target repository (a few keys only)
< environment OSTRO_* < flags. `agent.config_sources` reads the sources and remembers where each value came from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

SandboxChoice = Literal["auto", "docker", "local", "none"]

DEFAULT_MODEL = "mistral/devstral-small-2"
DEFAULT_STEPS = 150
DEFAULT_BUDGET_USD = 1.0
DEFAULT_TIME_S = 3600.0
DEFAULT_MAX_TOKENS = 4096
DEFAULT_TEMPERATURE = 0.15

REPOSITORY_KEYS = frozenset({"image", "setup", "test", "instructions", "steps", "budget", "time", "tokens"})
"""What a target repository may set: a repository is untrusted. Limits only downwards."""


class Settings(BaseSettings):
    """Everything that can be configured. The description of a field is its documentation."""

    model_config = SettingsConfigDict(env_prefix="OSTRO_", extra="forbid", frozen=True)

    model: str = Field(DEFAULT_MODEL, description="Model id as the endpoint knows it.")
    endpoint: str = Field(
        "vercel", description="Name of a catalogued endpoint, or the base URL of an OpenAI-compatible one."
    )
    price: tuple[float, float] | None = Field(
        None,
        description="Dollars per million input and output tokens; needed for an unknown model; 0,0 if local.",
    )
    temperature: float = Field(DEFAULT_TEMPERATURE, ge=0, le=2, description="Sampling temperature.")
    seed: int | None = Field(None, description="Sampling seed, sent where the endpoint takes one.")
    max_tokens: int = Field(DEFAULT_MAX_TOKENS, ge=16, description="Longest single reply, tokens.")
    stream: bool = Field(True, description="Stream replies, so that a stalled one is noticed early.")
    vision: bool = Field(True, description="Show images of the issue to a model with vision.")

    steps: int = Field(DEFAULT_STEPS, ge=1, description="Most model replies in one attempt.")
    budget: float = Field(DEFAULT_BUDGET_USD, ge=0, description="Dollars for the whole call, attempts included.")
    tokens: int | None = Field(None, ge=1, description="Most input and output tokens together; none by default.")
    time: float = Field(DEFAULT_TIME_S, gt=0, description="Wall-clock seconds for the whole call.")
    attempts: int = Field(1, ge=1, le=16, description="Independent tries; the best one is selected.")

    sandbox: SandboxChoice = Field("auto", description="Where commands run: docker, local, none, or the best there is.")
    image: str | None = Field(None, description="Container image of the sandbox.")
    setup: tuple[str, ...] | None = Field(None, description="Commands that prepare the environment; detected if unset.")
    test: str | None = Field(None, description="Command that tests the repository; detected if unset, '' for none.")
    instructions: str = Field("", description="Extra text for the model, shown as data.")
    command_timeout: float = Field(120.0, gt=0, description="Default limit of one shell command, seconds.")
    memory: str = Field("4g", description="Memory limit of the sandbox.")
    network: bool = Field(False, description="Let the agent reach the package registries through the proxy.")

    masking: bool = Field(True, description="Mask old observations when the context fills up.")
    skip_preflight: bool = Field(False, description="Start even where a preflight check fails.")
    home: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "share" / "ostro",
        description="Where runs, clones, images and caches are kept (OSTRO_HOME).",
    )
