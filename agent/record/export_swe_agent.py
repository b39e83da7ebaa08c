"""A trajectory as SWE-agent 1.1 saves it: `.traj` (its `types.py`)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from ostro.agent.outcome import Ending
from ostro.agent.record.steps import Document, Recording, Step, chat_call, shell_line


def swe_agent(recording: Recording) -> Document:
    """Return the `.traj` document: one step for each call, and the history."""
    trajectory: list[JsonValue] = []
    cwd: JsonValue = recording.started.workdir
    for step in recording.steps:
        for found in _swe_steps(step):
            cwd = found.pop("cwd") or cwd
            trajectory.append({**found, "state": {"working_dir": str(cwd)}, "query": [], "extra_info": {}})
    input_tokens, _, output_tokens = recording.tokens
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
            "action": shell_line(call),
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
        "action": "\n".join(shell_line(call) for call in planned.calls), "message_type": "action",
    }  # fmt: skip
    calls: list[JsonValue] = [chat_call(call) for call in planned.calls]
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
    **dict.fromkeys((Ending.STEP_LIMIT, Ending.COST_LIMIT, Ending.TOKEN_LIMIT), "exit_cost"),
}


def _swe_status(recording: Recording) -> str:
    """Return SWE-agent's word for an ending; one that left a patch behind reads `submitted (...)` there."""
    ending = recording.ended.outcome.ending if recording.ended else Ending.INTERRUPTED
    status = _SWE_STATUS.get(ending, "exit_error")
    return f"submitted ({status})" if recording.patch and ending is not Ending.SUBMITTED else status
