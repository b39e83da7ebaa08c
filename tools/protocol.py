"""The contract of a tool: validated arguments and a context in, an observation out.

agent/intake.py turns what a model sent into `BoundCall`s with the help of `Toolset` (tools/registry.py) and runs
them. A tool never raises for a failure that the model can mend; only SandboxError passes through.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from ostro.sandbox.protocol import Sandbox

ArgsT = TypeVar("ArgsT", bound=BaseModel)


class ToolArgs(BaseModel):
    """Base of every tool's arguments: frozen, unknown names refused; field descriptions are read by the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


FROM_JSON_TEXT = BeforeValidator(_parsed)
"""For an argument that is a list: models also send it as a JSON text."""


class Refused(Exception):  # noqa: N818  # an answer to the model, not a failure of ours
    """A call cannot be done as asked; the text, which the model reads, says why and what to do instead.

    Raised and caught within a tool: `Tool.run` returns it as an Observation with `ok=False`.
    """


class ObservedImage(BaseModel):
    """A picture that a tool wants the model to see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    media_type: str
    data_base64: str
    width: int
    height: int


class Observation(BaseModel):
    """What a call gives back.

    Attributes:
        text: what the model reads; already cut to the tool's display limit, never empty.
        ok: False when the call did not do what it was asked for.
        mutated: the workspace may have changed: a checkpoint is due.
        done: the run is finished (submit, the second time, or give up).
        gave_up: with `done`: the model says that no patch is needed or possible.
        data: facts for the log and the statistics: exit_code, duration_s, timed_out, path, ...
        full_output: the whole text where `text` is a part of it; kept beside the log, never sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    ok: bool = True
    mutated: bool = False
    done: bool = False
    gave_up: bool = False
    images: tuple[ObservedImage, ...] = ()
    data: dict[str, JsonValue] = Field(default_factory=dict)
    full_output: str | None = Field(default=None, exclude=True, repr=False)


class PlanItem(BaseModel):
    """One line of the visible plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    status: str = "pending"


class Edit(BaseModel):
    """One undoable change of one file: the bytes at `start` were `before` and became `after`, as latin-1 text.

    Attributes:
        created: the file did not exist before; then `before` and `after` are empty, undoing removes it.
        digest_after: sha256 of the whole file after the edit; undone only while the file still has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    start: int
    before: str
    after: str
    created: bool = False
    digest_after: str


class ToolState(BaseModel):
    """What the tools remember within one run. Saved with every observation that changed it (event log).

    Attributes:
        seen: path -> sha256 of the content when the model last saw or wrote it: the stale-read guard.
        edits: what `undo_edit` can take back, oldest first.
        plan_age: calls since the plan was last shown or changed.
        reviewed: sha256 of the patch that the first submit showed; "" before it.
        saved_outputs: how many outputs were saved in the sandbox, for their names.
        background: ids of background jobs whose end the model has not been told yet.
    """

    model_config = ConfigDict(extra="forbid")

    plan: list[PlanItem] = Field(default_factory=list[PlanItem])
    plan_age: int = 0
    seen: dict[str, str] = Field(default_factory=dict)
    edits: list[Edit] = Field(default_factory=list[Edit])
    reviewed: str = ""
    saved_outputs: int = 0
    background: list[str] = Field(default_factory=list[str])


@dataclass
class ToolContext:
    """What a tool may use: the sandbox, its own memory, and the run's settings that concern tools.

    Attributes:
        observation_chars: display limit of one observation, characters.
        command_timeout_s: default limit of a shell command.
        test_command: the command that verifies the patch, "" when none is known.
        redact: replaces known secret values; applied to whatever a tool reads before it is cut.
        contents: path -> content as the model last saw it, to show what changed since; a bounded cache that is
            not saved: empty after a resume, and nothing depends on it but the detail of a message.
    """

    sandbox: Sandbox
    state: ToolState = field(default_factory=ToolState)
    observation_chars: int = 10_000
    command_timeout_s: float = 120.0
    test_command: str = ""
    redact: Callable[[str], str] = str
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True)
class Tool(Generic[ArgsT]):
    """One tool: a name, an arguments model, a function, and the Markdown description in prompts/tools/.

    Attributes:
        description_values: numbers for the template of the description; the same constants as the code's.
        read_only: whether calls may run in one turn without ordering against others.
    """

    name: str
    args: type[ArgsT]
    run: Callable[[ArgsT, ToolContext], Observation]
    description_values: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    read_only: bool = False


AnyTool = Tool[Any]
