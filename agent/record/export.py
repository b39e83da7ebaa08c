"""A trajectory in the formats of other tools, as pure functions of its events; nothing here reads them back.

Formats, looked up in 2026 in the code that reads them:

- `atif`: the Agent Trajectory Interchange Format, version 1.7 (Harbor's `models/trajectories`);
- `mini-swe-agent`: its `.traj.json`, format mini-swe-agent-1.1 (mini-swe-agent 2, `agents/default.py`), which
  `mini-extra inspector` shows;
- `swe-agent`: its `.traj` (SWE-agent 1.1, `types.py`), which `sweagent inspector` shows;
- `prediction`: one row of SWE-bench's predictions, which every grader of SWE-bench takes.

Images are counted, not copied. A byte of a patch that is not UTF-8 stands as a lone surrogate, as in predictions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from ostro.agent.errors import UsageError
from ostro.agent.history import Message, SystemMessage, ToolCall, UserMessage
from ostro.agent.outcome import Ending
from ostro.agent.record.events import Compacted, Ended, Event, Forked, Nudged, Observed, Planned, RunStarted
from ostro.agent.record.trajectory import read_events

Document = dict[str, JsonValue]
FormatName = Literal["atif", "mini-swe-agent", "swe-agent", "prediction"]

_LIMITS = (Ending.STEP_LIMIT, Ending.COST_LIMIT, Ending.TOKEN_LIMIT)


@dataclass
class Step:
    """A reply of the model with what its calls gave back; without a reply, a message to the model or a note.

    Attributes:
        source: who speaks.
        copied: a fork copied it from the run that paid for it.
    """

    source: Literal["system", "user", "agent"]
    text: str
    ts: str
    planned: Planned | None = None
    observed: dict[str, Observed] = field(default_factory=dict[str, Observed])
    images: int = 0
    copied: bool = False


@dataclass(frozen=True)
class Recording:
    """One attempt as its log has it.

    Attributes:
        name: of the benchmark's instance, or the run's id.
        ended: None for an attempt that was cut off.
        patch: of its end; "" for none.
    """

    name: str
    started: RunStarted
    steps: tuple[Step, ...]
    ended: Ended | None
    patch: str

    @property
    def ending(self) -> str:
        """How it ended, in the words of Ostro's table; `unfinished` where it did not."""
        return self.ended.outcome.ending.value if self.ended else "unfinished"

    @property
    def replies(self) -> list[Planned]:
        """The replies that this run paid for."""
        return [step.planned for step in self.steps if step.planned is not None and not step.copied]

    @property
    def cost_usd(self) -> float:
        """Dollars of the run, its summaries too."""
        return self.ended.cost_usd if self.ended else sum(reply.cost_usd for reply in self.replies)


def read_recording(log: Path, name: str = "") -> Recording:
    """Read a log and the patch beside it.

    Args:
        log: a `trajectory.jsonl`, of a run that goes on too.
        name: what the exported document calls it; the run's id by default.

    Raises:
        UsageError: the log has no first line yet.
        TrajectoryError: it is damaged, or of another schema.
        StorageError: it cannot be read.
    """
    events = read_events(log)
    started = next(events, None)
    if not isinstance(started, RunStarted):
        raise UsageError(f"{log}: the run ended before its first step", mend="There is nothing to export.")
    rest = list(events)
    ended = next((event for event in reversed(rest) if isinstance(event, Ended)), None)
    patch = log.parent / ended.patch if ended and ended.patch else None
    text = patch.read_bytes().decode("utf-8", "surrogateescape") if patch and patch.is_file() else ""
    return Recording(name or started.run_id, started, tuple(_steps(started, rest)), ended, text)


def _steps(started: RunStarted, events: Sequence[Event]) -> list[Step]:
    steps = [_opening(message, started.ts) for message in started.messages]
    for event in events:
        match event:
            case Planned():
                steps.append(Step("agent", event.text, event.ts, planned=event))
            case Observed():
                _reply_to(steps, event).observed[event.call_id] = event
            case Nudged(into="message"):
                steps.append(Step("user", event.text, event.ts))
            case Compacted():
                steps.append(Step("system", _compaction(event), event.ts))
            case Forked():
                for step in steps:
                    step.copied = True
            case _:
                pass
    return steps


def _opening(message: Message, ts: str) -> Step:
    images = len(message.images) if isinstance(message, UserMessage) else 0
    return Step("system" if isinstance(message, SystemMessage) else "user", message.text, ts, images=images)


def _reply_to(steps: Sequence[Step], event: Observed) -> Step:
    """Return the step of an observation: the newest whose reply made the call."""
    return next(
        step
        for step in reversed(steps)
        if step.planned is not None and any(call.id == event.call_id for call in step.planned.calls)
    )


def _compaction(event: Compacted) -> str:
    if event.summary:
        return f"The conversation from here on shows this summary for what came before:\n\n{event.summary}"
    return f"From here on {len(event.masked)} old observations are shown as stand-ins."


def prediction(recording: Recording) -> Document:
    """Return the row of a predictions file."""
    return {
        "instance_id": recording.name,
        "model_name_or_path": recording.started.model,
        "model_patch": recording.patch,
    }


def atif(recording: Recording) -> Document:
    """Return the ATIF document."""
    started = recording.started
    steps: list[JsonValue] = [_atif_step(number, step) for number, step in enumerate(recording.steps, 1)]
    tokens = _tokens(recording)
    return {
        "schema_version": "ATIF-v1.7",
        "session_id": started.run_id,
        "trajectory_id": f"{started.run_id}/{started.attempt}",
        "agent": {
            "name": "ostro",
            "version": started.ostro_version,
            "model_name": started.model,
            "extra": {"tools": list(started.tools), "sandbox": started.sandbox, "sampling": started.sampling},
        },
        "steps": steps,
        "final_metrics": {
            "total_prompt_tokens": tokens[0],
            "total_cached_tokens": tokens[1],
            "total_completion_tokens": tokens[2],
            "total_cost_usd": recording.cost_usd,
            "total_steps": len(steps),
        },
        "extra": {
            "instance_id": recording.name,
            "base_commit": started.base_commit,
            "ending": recording.ending,
            "patch": recording.patch,
        },
    }


def _atif_step(number: int, step: Step) -> Document:
    document: Document = {"step_id": number, "timestamp": step.ts, "source": step.source, "message": step.text}
    if step.copied:
        document["is_copied_context"] = True
    if step.images:
        document["extra"] = {"images": step.images}
    if (planned := step.planned) is None:
        return document
    usage = planned.usage
    document["llm_call_count"] = 1
    document["metrics"] = {
        "prompt_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.output_tokens,
        "cost_usd": planned.cost_usd,
    }
    if planned.calls:
        document["tool_calls"] = [
            {"tool_call_id": call.id, "function_name": call.name, "arguments": call.arguments} for call in planned.calls
        ]
    if step.observed:
        document["observation"] = {"results": [_atif_result(event) for event in step.observed.values()]}
    return document


def _atif_result(event: Observed) -> JsonValue:
    extra: Document = {"ok": event.ok, "duration_s": event.duration_s}
    if event.images:
        extra["images"] = event.images
    return {"source_call_id": event.call_id, "content": event.text, "extra": extra}


def _tokens(recording: Recording) -> tuple[int, int, int]:
    """Return input, cached and output tokens of the run."""
    if recording.ended:
        tokens = recording.ended.tokens
        return tokens.input, tokens.cached, tokens.output
    usages = [reply.usage for reply in recording.replies]
    return (
        sum(usage.input_tokens for usage in usages),
        sum(usage.cached_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
    )


def mini_swe_agent(recording: Recording) -> Document:
    """Return the `.traj.json` document: the messages of the chat, each with its `extra`."""
    started, status = recording.started, _mini_status(recording)
    messages: list[JsonValue] = [message for step in recording.steps for message in _mini_messages(step)]
    end: JsonValue = {"exit_status": status, "submission": recording.patch}
    messages.append({"role": "exit", "content": status, "extra": end})
    return {
        "info": {
            "model_stats": {"instance_cost": recording.cost_usd, "api_calls": len(recording.replies)},
            "config": {
                "agent": started.config,
                "agent_type": "ostro",
                "model": {"model_name": started.model, "model_kwargs": started.sampling},
                "model_type": started.endpoint,
                "environment": {"image": started.image, "cwd": started.workdir},
                "environment_type": started.sandbox,
            },
            "mini_version": f"ostro {started.ostro_version}",
            "exit_status": status,
            "submission": recording.patch,
        },
        "messages": messages,
        "trajectory_format": "mini-swe-agent-1.1",
        "instance_id": recording.name,
    }


def _mini_status(recording: Recording) -> str:
    """Return mini-swe-agent's word for an ending where it has one, else Ostro's."""
    ending = recording.ended.outcome.ending if recording.ended else None
    if ending is Ending.SUBMITTED:
        return "Submitted"
    if ending is Ending.TIME_LIMIT:
        return "TimeExceeded"
    return "LimitsExceeded" if ending in _LIMITS else recording.ending


def _mini_messages(step: Step) -> Iterator[JsonValue]:
    stamp = _seconds(step.ts)
    if (planned := step.planned) is None:
        yield {"role": step.source, "content": step.text, "extra": {"timestamp": stamp, "images": step.images}}
        return
    calls: list[JsonValue] = [_chat_call(call) for call in planned.calls]
    actions: list[JsonValue] = [{"command": _shell_line(call), "tool_call_id": call.id} for call in planned.calls]
    extra: JsonValue = {"actions": actions, "cost": planned.cost_usd, "timestamp": stamp}
    message: Document = {"role": "assistant", "content": planned.text, "extra": extra}
    yield {**message, "tool_calls": calls} if calls else message
    for event in step.observed.values():
        noted: Document = {"timestamp": _seconds(event.ts), "returncode": event.data.get("exit_code"), "ok": event.ok}
        yield {"role": "tool", "tool_call_id": event.call_id, "content": event.text, "extra": noted}


def _chat_call(call: ToolCall) -> JsonValue:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _shell_line(call: ToolCall) -> str:
    """Return the command of a shell call; another call as its name and arguments."""
    command = call.arguments.get("command")
    if call.name == "bash" and isinstance(command, str):
        return command
    return f"{call.name} {json.dumps(call.arguments, ensure_ascii=False)}"


def _seconds(ts: str) -> float:
    """Return Unix time."""
    return datetime.fromisoformat(ts).timestamp()


def swe_agent(recording: Recording) -> Document:
    """Return the `.traj` document: one step for each call, and the history."""
    trajectory: list[JsonValue] = []
    cwd: JsonValue = recording.started.workdir
    for step in recording.steps:
        for found in _swe_steps(step):
            cwd = found.pop("cwd") or cwd
            trajectory.append({**found, "state": {"working_dir": str(cwd)}, "query": [], "extra_info": {}})
    input_tokens, _, output_tokens = _tokens(recording)
    return {
        "trajectory": trajectory,
        "history": [item for step in recording.steps for item in _swe_history(step)],
        "info": {
            "exit_status": _swe_status(recording),
            "submission": recording.patch or None,
            "model_stats": {
                "instance_cost": recording.cost_usd,
                "tokens_sent": input_tokens,
                "tokens_received": output_tokens,
                "api_calls": len(recording.replies),
            },
            "swe_agent_version": f"ostro {recording.started.ostro_version}",
        },
        "replay_config": None,
        "environment": recording.name,
    }


def _swe_steps(step: Step) -> Iterator[Document]:
    """Yield a step for each call, or one for a reply without any; `cwd` is where the shell was afterwards."""
    if (planned := step.planned) is None:
        return
    for index, call in enumerate(planned.calls):
        event = step.observed.get(call.id)
        yield {
            "action": _shell_line(call),
            "observation": event.text if event else "",
            "response": planned.text,
            "thought": planned.text if not index else "",
            "execution_time": event.duration_s if event else 0.0,
            "cwd": event.data.get("cwd") if event else None,
        }
    if not planned.calls:
        text = planned.text
        yield {
            "action": "", "observation": "", "response": text, "thought": text, "execution_time": 0.0, "cwd": None,
        }  # fmt: skip


def _swe_history(step: Step) -> Iterator[JsonValue]:
    if (planned := step.planned) is None:
        kind = "system_prompt" if step.source == "system" else "observation"
        yield {"role": step.source, "content": step.text, "agent": "main", "message_type": kind}
        return
    item: Document = {
        "role": "assistant", "content": planned.text, "thought": planned.text, "agent": "main",
        "action": "\n".join(_shell_line(call) for call in planned.calls), "message_type": "action",
    }  # fmt: skip
    calls: list[JsonValue] = [_chat_call(call) for call in planned.calls]
    yield {**item, "tool_calls": calls} if calls else item
    for event in step.observed.values():
        ids: list[JsonValue] = [event.call_id]
        yield {
            "role": "tool", "content": event.text, "agent": "main", "message_type": "observation", "tool_call_ids": ids,
        }  # fmt: skip


_SWE_STATUS = {
    Ending.SUBMITTED: "submitted",
    Ending.CONTEXT_LIMIT: "exit_context",
    Ending.TIME_LIMIT: "exit_total_execution_time",
    Ending.MODEL_ERROR: "exit_api",
    Ending.SANDBOX_ERROR: "exit_environment_error",
    Ending.GAVE_UP: "exit_forfeit",
    Ending.NO_ACTION: "exit_format",
    **dict.fromkeys(_LIMITS, "exit_cost"),
}


def _swe_status(recording: Recording) -> str:
    """Return SWE-agent's word for an ending; one that left a patch behind reads `submitted (...)` there."""
    ending = recording.ended.outcome.ending if recording.ended else Ending.INTERRUPTED
    status = _SWE_STATUS.get(ending, "exit_error")
    return f"submitted ({status})" if recording.patch and ending is not Ending.SUBMITTED else status


@dataclass(frozen=True)
class Format:
    """One way to write a recording.

    Attributes:
            suffix: of a file's name; the tools that read it look for it.
    """

    write: Callable[[Recording], Document]
    suffix: str


FORMATS: dict[FormatName, Format] = {
    "atif": Format(atif, ".atif.json"),
    "mini-swe-agent": Format(mini_swe_agent, ".traj.json"),
    "swe-agent": Format(swe_agent, ".traj"),
    "prediction": Format(prediction, ".pred.json"),
}
