"""Put one attempt together: the first messages, the tools, the budget, the log's manifest."""

from __future__ import annotations

import hashlib
import json
import platform

from ostro.agent.asking import Asker, Sampling
from ostro.agent.budget import Budget
from ostro.agent.config import DEFAULT_MAX_TOKENS
from ostro.agent.context import ContextKeeper
from ostro.agent.history import History, Message, SystemMessage, UserMessage
from ostro.agent.loop import Agent
from ostro.agent.named_files import show_named_files
from ostro.agent.patch_keeper import PatchKeeper
from ostro.agent.preparation import Prepared
from ostro.agent.record.events import Retried, RunStarted
from ostro.agent.record.trajectory import TrajectoryWriter
from ostro.agent.repetition import LoopDetector
from ostro.agent.untrusted import Fence, sanitise
from ostro.agent.version import ostro_version
from ostro.prompts.render import prompts_digest, render
from ostro.sandbox.protocol import Sandbox, SandboxError
from ostro.tools.protocol import ToolContext
from ostro.tools.registry import Toolset

ATTEMPT_TEMPERATURES = (0.4, 0.7)
"""Of the second and every further attempt; the first uses the configured one."""

GUIDELINES_FILE = "AGENTS.md"
GUIDELINES_BYTES = 32_768


def assemble(prepared: Prepared, sandbox: Sandbox, log: TrajectoryWriter, keeper: PatchKeeper, number: int) -> Agent:
    """Return an agent that is ready to run; the manifest is written to the log."""
    settings, entry = prepared.settings, prepared.target.model
    toolset = Toolset.default(vision=entry.vision and settings.vision, command_timeout_s=settings.command_timeout)
    tools = ToolContext(
        sandbox=sandbox,
        command_timeout_s=settings.command_timeout,
        test_command=prepared.test_command,
        redact=prepared.redact,
    )
    history = History(first_messages(prepared, tools))
    sampling = _sampling(prepared, number)
    budget = Budget(steps=settings.steps, deadline=prepared.deadline, purse=prepared.purse)
    log.write(_manifest(prepared, sandbox, history, toolset, sampling, number))
    context = ContextKeeper(
        counter=prepared.model.counter,
        schemas=toolset.schemas(),
        window=entry.context,
        reserve=sampling.max_tokens,
        masking=settings.masking,
    )
    asker = Asker(prepared.model, history, context, sampling, budget, log)
    agent = Agent(
        asker=asker,
        toolset=toolset,
        tools=tools,
        history=history,
        log=log,
        budget=budget,
        detector=LoopDetector(digest=lambda: patch_digest(sandbox)),
        keeper=keeper,
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


def first_messages(prepared: Prepared, tools: ToolContext) -> list[Message]:
    """Return the system prompt and the task; everything untrusted in it is fenced with a nonce of this run."""
    task, settings = prepared.task, prepared.settings
    fence = Fence().fence
    guidelines = _guidelines(tools.sandbox)
    text = render(
        "task.j2",
        title=prepared.redact(task.title),
        issue=fence(prepared.redact(task.text), source="issue"),
        workdir=tools.sandbox.workdir,
        test_command=prepared.test_command,
        files=show_named_files(task.text, prepared.base, tools),
        instructions=settings.instructions,
        repository_instructions=fence(prepared.redact(guidelines), source=GUIDELINES_FILE) if guidelines else "",
        notes=prepared.notes,
    )
    images = task.images if prepared.target.model.vision and settings.vision else ()
    return [SystemMessage(text=render("system.j2")), UserMessage(text=text, images=images)]


def _guidelines(sandbox: Sandbox) -> str:
    """AGENTS.md of the base commit, as data; "" where there is none that can be read."""
    try:
        raw = sandbox.read(GUIDELINES_FILE, max_bytes=GUIDELINES_BYTES)
    except (OSError, ValueError):
        return ""
    return sanitise(raw.decode("utf-8", "replace")).text.strip()


def _sampling(prepared: Prepared, number: int) -> Sampling:
    settings, entry = prepared.settings, prepared.target.model
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


def _manifest(
    prepared: Prepared,
    sandbox: Sandbox,
    history: History,
    toolset: Toolset,
    sampling: Sampling,
    number: int,
) -> RunStarted:
    target, task = prepared.target, prepared.task
    schemas = json.dumps(toolset.schemas(), sort_keys=True)
    price = target.model.price
    return RunStarted(
        ostro_version=ostro_version(),
        run_id=prepared.folder.run_id,
        attempt=number,
        task={"title": task.title, "source": task.source, "number": task.number, "url": task.url},
        model=target.model.id,
        endpoint=target.profile.name,
        base_url=target.profile.base_url,
        sampling={
            "temperature": sampling.temperature,
            "seed": sampling.seed,
            "max_tokens": sampling.max_tokens,
        },
        price=(price.input, price.output),
        prompt_sha256=prompts_digest(),
        tools_sha256=hashlib.sha256(schemas.encode()).hexdigest(),
        base_commit=prepared.base.source_commit,
        sandbox=sandbox.name,
        sandbox_description=sandbox.description,
        workdir=sandbox.workdir,
        image=prepared.spec.image,
        config={**prepared.settings.model_dump(mode="json"), "host": platform.platform()},
        messages=tuple(history),
    )
