"""A trajectory as mini-swe-agent 2 saves it: `.traj.json` of format mini-swe-agent-1.1 (its `agents/default.py`)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from ostro.agent.outcome import Ending
from ostro.agent.record.steps import Document, Recording, Step, chat_call, shell_line, unix_time

_LIMITS = (Ending.STEP_LIMIT, Ending.COST_LIMIT, Ending.TOKEN_LIMIT)


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
    stamp = unix_time(step.ts)
    if (planned := step.planned) is None:
        yield {"role": step.source, "content": step.text, "extra": {"timestamp": stamp, "images": step.images}}
        return
    calls: list[JsonValue] = [chat_call(call) for call in planned.calls]
    actions: list[JsonValue] = [{"command": shell_line(call), "tool_call_id": call.id} for call in planned.calls]
    extra: JsonValue = {"actions": actions, "cost": planned.cost_usd, "timestamp": stamp}
    message: Document = {"role": "assistant", "content": planned.text, "extra": extra}
    yield {**message, "tool_calls": calls} if calls else message
    for event in step.observed.values():
        noted: Document = {"timestamp": unix_time(event.ts), "returncode": event.data.get("exit_code"), "ok": event.ok}
        yield {"role": "tool", "tool_call_id": event.call_id, "content": event.text, "extra": noted}
