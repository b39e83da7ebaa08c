"""The typed events of a trajectory: the vocabulary of the log, nothing else.

agent/record/trajectory.py writes and reads them; docs/trajectory.md is made from this file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from ostro.agent.history import Message, ToolCall
from ostro.agent.model.reply import CostSource, RawCall, Usage
from ostro.agent.outcome import Outcome, TestRun, Tokens

SCHEMA = 1


class _Event(BaseModel):
    """What every line of the log has: its number, the wall clock (UTC) and seconds since the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int = -1
    ts: str = ""
    mono: float = 0.0


class RunStarted(_Event):
    """The manifest: everything that decides what this run will do, and the messages it starts from.

    Attributes:
        tools: names of the tools that the model gets; nothing in the logs of the first days.
        workdir: absolute path of the workspace inside the sandbox.
        state: the tools' memory at the start, where the messages show files already.
    """

    type: Literal["run_started"] = "run_started"
    schema_version: int = SCHEMA
    ostro_version: str
    run_id: str
    attempt: int = 1
    task: dict[str, JsonValue]
    model: str
    endpoint: str
    base_url: str
    sampling: dict[str, JsonValue]
    price: tuple[float, float] | None
    prompt_sha256: str
    tools_sha256: str
    tools: tuple[str, ...] = ()
    base_commit: str
    sandbox: str
    sandbox_description: str
    workdir: str = "/workspace"
    image: str | None
    config: dict[str, JsonValue]
    messages: tuple[Message, ...]
    state: dict[str, JsonValue] | None = None


class Planned(_Event):
    """One reply of the model, with the calls as they will be executed and as they were received.

    Attributes:
        reply_text: the text as it came, where the intake took calls out of it or replaced it; "" where it is `text`.
    """

    type: Literal["planned"] = "planned"
    turn: int
    text: str
    reply_text: str = ""
    calls: tuple[ToolCall, ...]
    raw_calls: tuple[RawCall, ...] = ()
    repairs: tuple[str, ...] = ()
    finish_reason: str
    usage: Usage
    cost_usd: float
    cost_source: CostSource
    tries: int = 1
    latency_s: float = 0.0
    generation_id: str = ""
    served_by: str = ""


class Retried(_Event):
    """A request that failed and is sent again after a wait."""

    type: Literal["retried"] = "retried"
    turn: int
    kind: str
    wait_s: float
    detail: str


class Called(_Event):
    """A tool call is about to run: the intent, on disk before the effect."""

    type: Literal["called"] = "called"
    turn: int
    call: ToolCall


class Observed(_Event):
    """What a call gave back, as the model reads it.

    Attributes:
        done: the call ended the run.
        gave_up: with `done`: the model says that no patch is needed or possible.
        full_output: name of the file beside the log with the whole output, "" where `text` is all.
        pictures: name of the file beside the log with the images, as JSON; "" for none.
        state: the tools' memory after the call, where the call changed it.
        patch_sha256: of the patch after the call, where the loop detector looked at it.
        interrupted: the process ended while the call ran; it was not run again, its effect was taken back.
    """

    type: Literal["observed"] = "observed"
    turn: int
    call_id: str
    name: str
    text: str
    ok: bool
    mutated: bool
    done: bool = False
    gave_up: bool = False
    data: dict[str, JsonValue] = Field(default_factory=dict)
    images: int = 0
    full_output: str = ""
    pictures: str = ""
    state: dict[str, JsonValue] | None = None
    patch_sha256: str = ""
    interrupted: bool = False
    duration_s: float = 0.0


class Checkpointed(_Event):
    """The workspace was saved as every call observed before this line left it.

    Attributes:
        path: the archive, relative to the log's folder.
        digest: of the workspace's content, as `Sandbox.digest` gives it.
    """

    type: Literal["checkpointed"] = "checkpointed"
    turn: int
    path: str
    digest: str
    size_bytes: int


class Compacted(_Event):
    """Old observations were masked, or the middle of the history was replaced by a summary.

    Attributes:
        usage: of the request for the summary; it is booked like any other, but is no step.
    """

    type: Literal["compacted"] = "compacted"
    turn: int
    masked: dict[int, str] = Field(default_factory=dict[int, str])
    summary: str = ""
    tokens_before: int
    tokens_after: int
    usage: Usage = Usage()
    cost_usd: float = 0.0
    cost_source: CostSource = "catalogue"


class Nudged(_Event):
    """A correction that the loop gave: a user message, or a note appended to the last observation.

    Attributes:
        asks_for: path of the file whose whole text the message asks for; everything after the task was taken out of
            the history before it (agent/fresh_look.py). "" for every other correction.
    """

    type: Literal["nudged"] = "nudged"
    turn: int
    kind: str
    text: str
    into: Literal["message", "observation"]
    asks_for: str = ""


class Limited(_Event):
    """A limit was reached or is near."""

    type: Literal["limited"] = "limited"
    turn: int
    limit: str
    detail: str


class Tested(_Event):
    """The host ran the test command in a fresh sandbox."""

    __test__ = False  # not a test class for pytest

    type: Literal["tested"] = "tested"
    phase: Literal["before", "after"]
    command: str
    result: TestRun


class Noted(_Event):
    """Something a reader should know: a warning, a choice that was made, a preflight result."""

    type: Literal["noted"] = "noted"
    kind: str
    text: str


class Resumed(_Event):
    """Another process goes on with the attempt; what it did to bring the workspace back.

    Attributes:
        sandbox: `kept` was alive and taken over, `rebuilt` is a fresh one.
        restored: digest of the checkpoint that the workspace was put back to; "" where nothing had to be.
        rerun: ids of completed calls whose effect no checkpoint held: they were run again, their observations stay.
        cut_call: id of the call that was cut off; "" for none.
        repeats: whether `cut_call` is run again; otherwise its observation says that it was interrupted.
        limits: what the user changed: the new budget, steps, time or tokens.
    """

    type: Literal["resumed"] = "resumed"
    turn: int
    sandbox: Literal["kept", "rebuilt"]
    sandbox_description: str = ""
    restored: str = ""
    rerun: tuple[str, ...] = ()
    cut_call: str = ""
    repeats: bool = False
    limits: dict[str, JsonValue] = Field(default_factory=dict)


class Forked(_Event):
    """Everything above was copied from another run, which paid for it; from here on this run is its own.

    Attributes:
        parent: run id of that run.
        at: number of turns that were copied.
        changes: what is different from here on: settings by name, `system_prompt`; `was` holds the settings' old
            values; `edited` is the call id of the observation above that was edited, `nudge` or `task`.
    """

    type: Literal["forked"] = "forked"
    parent: str
    parent_folder: str
    at: int
    changes: dict[str, JsonValue] = Field(default_factory=dict)


class Published(_Event):
    """The patch stands in the user's repository."""

    type: Literal["published"] = "published"
    branch: str
    commit: str
    patch_sha256: str


class Ended(_Event):
    """How an attempt ended. Only a `resumed` may follow it, besides what the session adds: published, tested."""

    type: Literal["ended"] = "ended"
    outcome: Outcome
    patch: str = ""
    patch_sha256: str = ""
    steps: int
    tokens: Tokens
    cost_usd: float
    cost_source: CostSource
    repairs: dict[str, int] = Field(default_factory=dict)
    seconds: float


Event = Annotated[
    RunStarted
    | Planned
    | Retried
    | Called
    | Observed
    | Checkpointed
    | Compacted
    | Nudged
    | Limited
    | Tested
    | Noted
    | Resumed
    | Forked
    | Published
    | Ended,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Validates one event from parsed JSON."""
