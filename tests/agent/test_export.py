"""Every recorded trajectory in the formats of other tools; what these tools ask of a document is checked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ostro.agent.errors import UsageError
from ostro.agent.record.events import Compacted, Ended, Event, Forked, Nudged, Observed, Planned, Resumed, RunStarted
from ostro.agent.record.export import FORMATS, FormatName
from ostro.agent.record.steps import read_recording
from ostro.agent.record.trajectory import TrajectoryWriter, read_events
from tests.corpus import LOG, NAMES, TRAJECTORIES


def events(name: str) -> list[Event]:
    return list(read_events(TRAJECTORIES / name / LOG))


def exported(name: str, form: FormatName) -> Any:
    document = FORMATS[form].write(read_recording(TRAJECTORIES / name / LOG, "some__instance-1"))
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("name", NAMES)
def test_atif_numbers_its_steps_and_answers_each_call_in_the_step_that_made_it(name: str) -> None:
    document, log = exported(name, "atif"), events(name)
    steps = document["steps"]
    assert [step["step_id"] for step in steps] == list(range(1, len(steps) + 1))
    assert document["final_metrics"]["total_steps"] == len(steps)
    assert [step["source"] for step in steps[:2]] == ["system", "user"]
    for step in steps:
        made = {call["tool_call_id"] for call in step.get("tool_calls", [])}
        assert {result["source_call_id"] for result in step.get("observation", {"results": []})["results"]} <= made
        assert step["source"] == "agent" or not {"metrics", "tool_calls", "llm_call_count"} & set(step)
    seen = [result["content"] for step in steps if "observation" in step for result in step["observation"]["results"]]
    assert seen == [event.text for event in log if isinstance(event, Observed)]
    assert [step["message"] for step in steps if step["source"] == "agent"] == [
        event.text for event in log if isinstance(event, Planned)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_atif_has_the_tokens_and_dollars_of_the_run(name: str) -> None:
    document = exported(name, "atif")
    (ended,) = [event for event in events(name) if isinstance(event, Ended)][-1:]
    total = document["final_metrics"]
    assert total["total_cost_usd"] == ended.cost_usd
    assert (total["total_prompt_tokens"], total["total_completion_tokens"]) == (ended.tokens.input, ended.tokens.output)
    assert document["extra"]["ending"] == ended.outcome.ending.value


@pytest.mark.parametrize("name", NAMES)
def test_mini_swe_agent_has_every_message_as_a_chat_that_a_server_would_take(name: str) -> None:
    document = exported(name, "mini-swe-agent")
    *messages, end = document["messages"]
    assert document["trajectory_format"] == "mini-swe-agent-1.1"
    assert end["role"] == "exit"
    assert end["extra"]["exit_status"] == document["info"]["exit_status"]
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        else:
            waiting = [call["id"] for call in message.get("tool_calls", [])]
        assert all(
            isinstance(json.loads(call["function"]["arguments"]), dict) for call in message.get("tool_calls", [])
        )
    assert document["info"]["model_stats"]["api_calls"] == sum(message["role"] == "assistant" for message in messages)
    nudges = [event.text for event in events(name) if isinstance(event, Nudged) and event.into == "message"]
    assert [message["content"] for message in messages if message["role"] == "user"][1:] == nudges


@pytest.mark.parametrize("name", NAMES)
def test_swe_agent_has_a_step_for_each_call_with_the_fields_of_its_inspector(name: str) -> None:
    document = exported(name, "swe-agent")
    replies = [event for event in events(name) if isinstance(event, Planned)]
    assert len(document["trajectory"]) == sum(max(1, len(reply.calls)) for reply in replies)
    fields = {"action", "observation", "response", "state", "thought", "execution_time", "query", "extra_info"}
    assert all(set(step) == fields and step["state"]["working_dir"] for step in document["trajectory"])
    assert all({"role", "content", "message_type"} <= set(item) for item in document["history"])
    shown = "".join(step["observation"] for step in document["trajectory"])
    assert all(event.text in shown for event in events(name) if isinstance(event, Observed))


def test_submitted_and_stopped_runs_are_told_in_the_words_of_the_other_tool() -> None:
    words = {
        name: (
            exported(name, "mini-swe-agent")["info"]["exit_status"],
            exported(name, "swe-agent")["info"]["exit_status"],
        )
        for name in ("demo", "gave-up", "silence")
    }
    assert words == {
        "demo": ("Submitted", "submitted"),
        "gave-up": ("gave_up", "exit_forfeit"),
        "silence": ("loop_detected", "exit_error"),
    }


def test_compaction_is_a_step_of_the_system_for_the_calls_before_and_after_it_are_all_there() -> None:
    steps = exported("compaction", "atif")["steps"]
    compacted = [event for event in events("compaction") if isinstance(event, Compacted)]
    told = [step for step in steps[1:] if step["source"] == "system"]
    assert len(told) == len(compacted) > 0
    assert all(event.summary in step["message"] for event, step in zip(compacted, told, strict=True))


def test_forked_run_marks_what_it_copied_and_counts_only_its_own_replies(tmp_path: Path) -> None:
    started, *rest = events("demo")
    assert isinstance(started, RunStarted)
    replies = [event for event in rest if isinstance(event, Planned)]
    with TrajectoryWriter(tmp_path / LOG) as log:
        for event in (started, replies[0], Forked(parent="p", parent_folder="f", at=1), replies[1]):
            log.write(event)
    recording = read_recording(tmp_path / LOG)
    steps: Any = FORMATS["atif"].write(recording)["steps"]
    assert [step.get("is_copied_context", False) for step in steps] == [True, True, True, False]
    assert recording.name == started.run_id
    assert recording.ending == "unfinished"
    assert recording.cost_usd == replies[1].cost_usd
    mini: Any = FORMATS["mini-swe-agent"].write(recording)
    assert mini["info"]["model_stats"]["api_calls"] == 1


def test_run_that_was_resumed_and_goes_on_has_not_ended(tmp_path: Path) -> None:
    with TrajectoryWriter(tmp_path / LOG) as log:
        for event in (*events("demo"), Resumed(turn=8, sandbox="kept")):
            log.write(event)
    recording = read_recording(tmp_path / LOG)
    assert (recording.ending, recording.patch) == ("unfinished", "")


def test_prediction_has_the_patch_to_the_byte(tmp_path: Path) -> None:
    log = tmp_path / LOG
    log.write_bytes((TRAJECTORIES / "demo" / LOG).read_bytes())
    (ended,) = [event for event in read_events(log) if isinstance(event, Ended)]
    patch = b"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-\xff\r\n+\xfe\r\n"
    (tmp_path / ended.patch).write_bytes(patch)
    row = json.loads(json.dumps(FORMATS["prediction"].write(read_recording(log, "x__y-1"))))
    assert set(row) == {"instance_id", "model_name_or_path", "model_patch"}
    assert row["instance_id"] == "x__y-1"
    assert row["model_patch"].encode("utf-8", "surrogateescape") == patch


def test_log_without_a_first_line_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / LOG).touch()
    with pytest.raises(UsageError, match="before its first step"):
        read_recording(tmp_path / LOG)
