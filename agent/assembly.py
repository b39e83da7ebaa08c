"""Put one attempt together: the first messages, the tools, the budget, the log's manifest."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from dataclasses import replace

from pydantic import JsonValue

from ostro.agent.acting import Actor
from ostro.agent.asking import Asker, Sampling
from ostro.agent.checkpoints import Checkpoints
from ostro.agent.config import DEFAULT_MAX_TOKENS, Settings
from ostro.agent.context import ContextKeeper
from ostro.agent.history import History, Message, SystemMessage, UserMessage
from ostro.agent.loop import Agent, Turn
from ostro.agent.model.profile import ModelEntry
from ostro.agent.named_files import show_named_files
from ostro.agent.preparation import Prepared
from ostro.agent.record.events import Retried, RunStarted
from ostro.agent.record.reconstruct import State
from ostro.agent.record.redact import redact_json
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.revival import cut_call, taken_in, with_pictures
from ostro.agent.toolset import toolset_digest, toolset_of
from ostro.agent.untrusted import Fence, sanitise
from ostro.agent.version import ostro_version
from ostro.prompts.render import prompts_digest, render
from ostro.sandbox.protocol import Sandbox, SandboxError
from ostro.tools.protocol import Observation, ToolContext, ToolState
from ostro.tools.registry import Toolset

ATTEMPT_TEMPERATURES = (0.4, 0.7)
"""Of the second and every further attempt; the first uses the configured one."""

GUIDELINES_FILE = "AGENTS.md"
GUIDELINES_BYTES = 32_768


def assemble(
    prepared: Prepared, sandbox: Sandbox, log: TrajectoryWriter, number: int, state: State | None = None
) -> Agent:
    """Return an agent that is ready to run.

    Args:
        prepared: what the attempts share.
        sandbox: where the agent works.
        log: of the attempt; the manifest is written to it where the attempt begins.
        number: of the attempt, from 1.
        state: where an ended process left it; None begins it.

    Raises:
        SandboxError, StorageError: the sandbox is gone, the log cannot be written or an image of it not be read.
    """
    settings, entry = prepared.settings, prepared.target.model
    toolset = toolset_of(settings, entry)
    tools = tool_context(prepared, sandbox, state.tools if state is not None else ToolState())
    sampling = sampling_of(settings, entry, number)
    if state is None:
        history = History(first_messages(prepared, tools))
        log.write(_manifest(prepared, tools, history, toolset, sampling, number))
        state = State()
    else:
        history = with_pictures(state, log.path.parent)
    budget = replace(state.spent, steps=settings.steps, deadline=prepared.deadline, purse=prepared.purse)
    context = ContextKeeper(
        counter=prepared.model.counter,
        schemas=toolset.schemas(),
        window=entry.context,
        reserve=sampling.max_tokens,
        masking=settings.masking,
        saved=state.outputs,
    )
    if state.measured is not None:
        messages, tokens = state.measured
        prepared.model.counter.learn(list(history)[:messages], context.schemas, tokens)
    if state.cut_replies:
        sampling.raise_max_tokens()
    detector = replace(state.detector, digest=lambda: patch_digest(sandbox))
    agent = Agent(
        asker=Asker(prepared.model, history, context, sampling, budget, log, cut_at=state.cut_at),
        actor=Actor(tools, history, log, budget, detector, cut=cut_call(state), looping=state.looping),
        toolset=toolset,
        tools=tools,
        history=history,
        log=log,
        budget=budget,
        checkpoints=Checkpoints(sandbox, log, mask=prepared.redact.mask),
        title=prepared.task.title,
        turn=state.turn,
        open=_open_turn(state, toolset),
        silent=state.silent,
        asked=state.asked,
        repairs=dict(state.repairs),
    )
    prepared.retries.listener = lambda retry: log.write(
        Retried(
            turn=agent.turn,
            kind=retry.kind,
            wait_s=round(retry.wait_s, 3),
            detail=prepared.redact(f"{retry.cause}: {retry.message} {retry.raw}".strip()),
        )
    )
    return agent


def tool_context(prepared: Prepared, sandbox: Sandbox, state: ToolState) -> ToolContext:
    """Return what the tools may use, with a memory of their own that begins as `state`."""
    return ToolContext(
        sandbox=sandbox,
        state=state.model_copy(deep=True),
        command_timeout_s=prepared.settings.command_timeout,
        test_command=prepared.test_command,
        redact=prepared.redact,
    )


def _open_turn(state: State, toolset: Toolset) -> Turn | None:
    if state.reply is None:
        return None
    results = [
        Observation(text=event.text, ok=event.ok, mutated=event.mutated, done=event.done, gave_up=event.gave_up,
                    data=event.data)
        for event in state.results
    ]  # fmt: skip
    return Turn(taken_in(state.reply, toolset), results)


def first_messages(prepared: Prepared, tools: ToolContext) -> list[Message]:
    """Return the system prompt and the task; everything untrusted in it is fenced with a nonce of this run."""
    task, settings = prepared.task, prepared.settings
    fence = Fence().fence
    guidelines = _guidelines(tools.sandbox)
    text = render(
        "task.j2",
        title=task.title,
        issue=fence(task.text, source="issue"),
        workdir=tools.sandbox.workdir,
        test_command=prepared.test_command,
        files=show_named_files(task.text, prepared.base, tools),
        instructions=settings.instructions,
        repository_instructions=fence(guidelines, source=GUIDELINES_FILE) if guidelines else "",
        notes=prepared.notes,
    )
    images = task.images if prepared.target.model.vision and settings.vision else ()
    return [SystemMessage(text=render("system.j2")), UserMessage(text=prepared.redact(text), images=images)]


def _guidelines(sandbox: Sandbox) -> str:
    """AGENTS.md of the base commit, as data; "" where there is none that can be read."""
    try:
        raw = sandbox.read(GUIDELINES_FILE, max_bytes=GUIDELINES_BYTES)
    except (OSError, ValueError):
        return ""
    return sanitise(raw.decode("utf-8", "replace")).text.strip()


def sampling_of(settings: Settings, entry: ModelEntry, number: int) -> Sampling:
    """Return how the replies of an attempt are drawn."""
    temperature = settings.temperature
    if number > 1:
        temperature = ATTEMPT_TEMPERATURES[min(number - 2, len(ATTEMPT_TEMPERATURES) - 1)]
    seed = None if settings.seed is None else settings.seed + number - 1
    longest = min(settings.max_tokens, entry.max_output)
    configured = settings.max_tokens != DEFAULT_MAX_TOKENS
    return Sampling(
        temperature=temperature,
        seed=seed,
        max_tokens=longest,
        max_output=longest if configured else entry.max_output,
    )


def patch_digest(sandbox: Sandbox) -> str:
    """Return a digest of what the workspace differs in from the base."""
    try:
        return hashlib.sha256(sandbox.patch()).hexdigest()
    except SandboxError as error:
        if error.kind != "patch_too_large":
            raise
        return str(error)


def config_of(settings: Settings, redact: Callable[[str], str]) -> dict[str, JsonValue]:
    """Return what a manifest holds as `config`: the settings without known secrets, and the host."""
    values = {key: redact_json(value, redact) for key, value in settings.model_dump(mode="json").items()}
    return {**values, "host": platform.platform()}


def _manifest(
    prepared: Prepared,
    tools: ToolContext,
    history: History,
    toolset: Toolset,
    sampling: Sampling,
    number: int,
) -> RunStarted:
    target, task, sandbox = prepared.target, prepared.task, tools.sandbox
    price = target.model.price
    return RunStarted(
        ostro_version=ostro_version(),
        run_id=prepared.folder.run_id,
        attempt=number,
        task={"title": task.title, "source": task.source, "number": task.number, "url": task.url},
        model=target.model.id,
        endpoint=target.profile.name,
        base_url=target.profile.base_url,
        sampling=sampling.described(),
        price=(price.input, price.output),
        prompt_sha256=prompts_digest(),
        tools_sha256=toolset_digest(toolset),
        tools=toolset.names,
        base_commit=prepared.base.source_commit,
        sandbox=sandbox.name,
        sandbox_description=sandbox.description,
        workdir=sandbox.workdir,
        image=prepared.spec.image,
        config=config_of(prepared.settings, prepared.redact),
        messages=tuple(history),
        state=tools.state.model_dump(mode="json") if tools.state != ToolState() else None,
    )
