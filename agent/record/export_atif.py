"""A trajectory as an ATIF document: Agent Trajectory Interchange Format 1.7, from Harbor's `models/trajectories`."""

from __future__ import annotations

from pydantic import JsonValue

from ostro.agent.record.events import Observed
from ostro.agent.record.steps import Document, Recording, Step


def atif(recording: Recording) -> Document:
    """Return the ATIF document."""
    started = recording.started
    steps: list[JsonValue] = [_atif_step(number, step) for number, step in enumerate(recording.steps, 1)]
    tokens = recording.tokens
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
