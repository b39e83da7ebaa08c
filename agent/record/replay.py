"""Replay a log against a fresh sandbox: no key, no network, nothing of the user's is changed.

The ordinary loop (agent/loop.py) runs with the recorded replies in the model's place, so intake, tools, nudges and
corrections work as they did; each observation is compared with the recorded one after agent/record/volatile.py.
What differs is reported, and the replay goes on with the recorded conversation.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ostro.agent.acting import Actor
from ostro.agent.assembly import patch_digest
from ostro.agent.budget import Budget, Purse
from ostro.agent.checkpoints import Checkpoints
from ostro.agent.config import SandboxChoice, Settings
from ostro.agent.errors import ConfigError, UsageError
from ostro.agent.history import History
from ostro.agent.loop import Agent
from ostro.agent.record.answers import RecordedAnswers
from ostro.agent.record.drift import ReplayReport
from ostro.agent.record.events import Event, RunStarted
from ostro.agent.record.recording import Recording, read_recording
from ostro.agent.record.redact import Redactor, secrets_of
from ostro.agent.record.replayer import Replayer
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.repetition import LoopDetector
from ostro.agent.toolset import toolset_digest
from ostro.agent.workshop import BASE_GIT, Workshop, prepare_workshop
from ostro.sandbox.protocol import Sandbox
from ostro.sandbox.repository import Repository, holds_commit, inspect_repository
from ostro.sandbox.scratch import scratch_folder
from ostro.tools.protocol import ToolContext, ToolState
from ostro.tools.registry import Toolset

_SAME_KIND: dict[str, SandboxChoice] = {"docker": "docker", "bubblewrap": "local", "unshare": "local"}
"""What a log of a run without isolation asks for is not on the list: that has to be typed."""

Listener = Callable[[Event], None]


def _quiet(_: str) -> None:
    return None


@dataclass(frozen=True)
class ReplayRequest:
    """What is to be replayed, and where.

    Attributes:
        log: a `trajectory.jsonl`; the run folder around it is only read.
        home: OSTRO_HOME, for the cache of environments.
        repository: holds the base commit; needed where the run folder has no `base.git`.
        sandbox: another kind than the recorded one; None for that.
        image: instead of the recorded one.
        setup: instead of the recorded commands.
    """

    log: Path
    home: Path
    repository: Path | None = None
    sandbox: SandboxChoice | None = None
    image: str | None = None
    setup: tuple[str, ...] | None = None


def replay(
    request: ReplayRequest, listener: Listener | None = None, say: Callable[[str], None] = _quiet
) -> ReplayReport:
    """Run the recorded replies against a fresh sandbox and compare what comes back.

    Args:
        request: what to replay.
        listener: told every event of the replay, as of a run.
        say: told what takes time before it begins.

    Raises:
        UsageError, ConfigError, RepositoryError: the log cannot be replayed, or its base is nowhere to be had.
        TrajectoryError: the log is damaged.
        SandboxError: no sandbox can be had, or it failed where the recorded one did not.
    """
    begun = time.monotonic()
    recording = read_recording(request.log)
    settings = recorded_settings(recording.started, request)
    repository = base_repository(request, recording.started)
    with scratch_folder("replay") as scratch:
        workshop = prepare_workshop(repository, settings, scratch, f"replay-{secrets.token_hex(4)}", say)
        try:
            workshop = replace(workshop, spec=replace(workshop.spec, workdir=recording.started.workdir))
            with (
                workshop.open_sandbox("1") as sandbox,
                TrajectoryWriter(scratch / "trajectory.jsonl", listener) as log,
            ):
                replayer = assemble_replay(recording, settings, workshop, sandbox, log)
                replayer.drive()
                return replayer.report(time.monotonic() - begun)
        finally:
            workshop.close()


def recorded_settings(started: RunStarted, request: ReplayRequest) -> Settings:
    """Return the configuration of the recorded run, as far as it matters without a model.

    Raises:
        ConfigError: a value in the log cannot be used.
    """
    values: dict[str, object] = {key: value for key, value in started.config.items() if key in Settings.model_fields}
    values |= {
        "home": request.home,
        "network": False,
        "sandbox": request.sandbox or _SAME_KIND.get(started.sandbox, "auto"),
        "image": request.image or values.get("image"),
        "setup": values.get("setup") if request.setup is None else request.setup,
    }
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{request.log}: the recorded setting {where} cannot be used: {first['msg']}") from error


def base_repository(request: ReplayRequest, started: RunStarted) -> Repository:
    """Return where the base commit is: the run folder, else the repository that was named.

    Raises:
        UsageError: neither has it.
        RepositoryError: the named one is no repository.
    """
    for folder in (request.log.parent, request.log.parent.parent):
        if (folder / BASE_GIT).is_dir():
            return inspect_repository(folder / BASE_GIT)
    short = started.base_commit[:12]
    if request.repository is None:
        raise UsageError(
            f"{request.log.parent} holds no {BASE_GIT}, the copy of the commit that the run started from",
            mend=f"Name a repository that has commit {short} with --repo.",
        )
    found = inspect_repository(request.repository)
    if not holds_commit(found, started.base_commit):
        raise UsageError(
            f"{request.repository} has no commit {short}, which the run started from",
            mend="Fetch it, or name another repository with --repo.",
        )
    return replace(found, head_commit=started.base_commit)


def assemble_replay(
    recording: Recording, settings: Settings, workshop: Workshop, sandbox: Sandbox, log: TrajectoryWriter
) -> Replayer:
    """Return the loop of the recorded run, ready for its first turn."""
    started = recording.started
    toolset = Toolset.default(vision=True, command_timeout_s=settings.command_timeout)
    tools = ToolContext(
        sandbox=sandbox,
        state=ToolState.model_validate(started.state or {}),
        command_timeout_s=settings.command_timeout,
        test_command=settings.test if settings.test is not None else workshop.test,
        redact=Redactor(secrets_of(os.environ)),
    )
    budget = Budget(steps=settings.steps, deadline=math.inf, purse=Purse(budget_usd=None))
    answers = RecordedAnswers(toolset, budget, log)
    history = History(started.messages)
    detector = LoopDetector(digest=lambda: patch_digest(sandbox))
    agent = Agent(
        asker=answers,
        actor=Actor(tools, history, log, budget, detector),
        toolset=toolset,
        tools=tools,
        history=history,
        log=log,
        budget=budget,
        checkpoints=Checkpoints(sandbox, log),
        title=str(started.task.get("title", "")),
    )
    log.write(started)
    return Replayer(recording, agent, answers, steps=settings.steps, tools=recorded_tools(recording, settings))


def recorded_tools(recording: Recording, settings: Settings) -> tuple[str, ...]:
    """Return the names of the tools that the recorded run offered at its end.

    The logs of the first days do not say: `view_image` was among them where the manifest's digest or a call says so.
    """
    started = recording.started
    if started.tools:
        return started.tools
    seeing = Toolset.default(vision=True, command_timeout_s=settings.command_timeout)
    used = any(call.name == "view_image" for turn in recording.turns for call in turn.planned.calls)
    if used or toolset_digest(seeing) == started.tools_sha256:
        return seeing.names
    return Toolset.default(vision=False).names
