"""The measurement of a small model, with a scripted endpoint in the model's place."""

import json
import subprocess
from pathlib import Path

import pytest

from ostro.benchmarks.diffs import apply_hunks, parse_diff
from ostro.benchmarks.environment import build_environment
from ostro.benchmarks.instance import FilesSource, Instance
from ostro.benchmarks.policy import scripted_turns
from ostro.benchmarks.scripted_endpoint import FaultPlan, ScriptedEndpoint
from ostro.benchmarks.small_model import last_block, main, question

DATA = Path(__file__).parent / "data" / "small.jsonl"


def gold_file(instance: Instance) -> str:
    source = instance.environment.source
    assert isinstance(source, FilesSource)
    (fix,) = parse_diff(instance.patch)
    return apply_hunks(source.files[fix.path], fix.hunks)


def measured(endpoint: ScriptedEndpoint, home: Path, out: Path, *flags: str) -> tuple[int, dict[str, object]]:
    arguments = ["--endpoint", endpoint.url, "--rows", str(DATA), "--only", "leap", "--home", str(home)]
    code = main([*arguments, "--out", str(out), *flags])
    (result,) = json.loads(out.read_text())
    return code, result


def test_once_when_the_answer_holds_the_corrected_file_then_it_counts_as_resolved(
    small_instance: Instance, instances_home: Path, tmp_path: Path
) -> None:
    answer = f"Sure, here it is.\n\n```python\n{gold_file(small_instance)}```\n"
    with ScriptedEndpoint([{"content": answer}]) as endpoint:
        code, result = measured(endpoint, instances_home, tmp_path / "out.json", "--once")
        (request,) = endpoint.requests
    assert code == 0
    assert result["outcome"] == "answered"
    assert result["resolved"] is True
    assert small_instance.problem_statement in request.body["messages"][0]["content"]
    assert "tools" not in request.body


def test_once_when_the_answer_holds_no_file_then_it_does_not_count(instances_home: Path, tmp_path: Path) -> None:
    with ScriptedEndpoint([{"content": "I would change line 3."}]) as endpoint:
        code, result = measured(endpoint, instances_home, tmp_path / "out.json", "--once")
    assert (code, result["outcome"], result["resolved"]) == (0, "no_file", False)


def test_once_when_the_endpoint_is_gone_then_the_row_says_so_and_the_exit_code_too(
    instances_home: Path, tmp_path: Path
) -> None:
    with ScriptedEndpoint([{"content": ""}], faults=[FaultPlan("drop", times=0)]) as endpoint:
        code, result = measured(endpoint, instances_home, tmp_path / "out.json", "--once")
    assert code == 1
    assert str(result["problem"]).startswith("ModelError")


def test_agent_when_a_call_comes_as_text_then_it_is_counted_and_the_task_is_solved(
    small_instance: Instance, instances_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = build_environment(small_instance, "local", instances_home)
    turns = scripted_turns(small_instance, environment.repository)
    view = turns[0]["calls"][0]
    turns[0] = {"content": f"```json\n{json.dumps(view)}\n```"}
    turns.insert(1, {"content": "", "calls": [{"name": "no_such_tool", "arguments": {}}]})
    with ScriptedEndpoint(turns) as endpoint:
        code, result = measured(endpoint, instances_home, tmp_path / "out.json", "--steps", "15")
    assert code == 0
    assert result["outcome"] == "submitted"
    assert result["resolved"] is True
    assert result["valid"] is True
    assert result["calls"] == len(turns)
    assert result["as_text"] == 1
    assert result["refused"] == 1
    assert "1 of 1 resolved; 1 valid" in capsys.readouterr().out


def test_agent_when_the_steps_run_out_then_the_salvaged_patch_is_judged(
    small_instance: Instance, instances_home: Path, tmp_path: Path
) -> None:
    environment = build_environment(small_instance, "local", instances_home)
    turns = scripted_turns(small_instance, environment.repository)[:8]
    with ScriptedEndpoint(turns) as endpoint:
        code, result = measured(endpoint, instances_home, tmp_path / "out.json", "--steps", "8")
    assert code == 0
    assert result["outcome"] == "step_limit"
    assert result["resolved"] is True


@pytest.mark.parametrize(
    ("answer", "block"),
    [
        ("```python\na\n```", "a\n"),
        ("text\n```\na\n```\nor\n```py\nb\n\nc\n```\n", "b\n\nc\n"),
        ("no block", None),
        ("```python\nnever closed", None),
    ],
)
def test_last_block_when_an_answer_holds_blocks_then_the_last_one_is_taken(answer: str, block: str | None) -> None:
    assert last_block(answer) == block


def test_question_when_asked_then_issue_and_file_are_in_it(small_instance: Instance) -> None:
    asked = question(small_instance, "a.py", "x = 1\n")
    assert asked.startswith(small_instance.problem_statement)
    assert "```python\nx = 1\n```" in asked


def test_script_when_started_as_a_module_then_its_flags_are_shown() -> None:
    import sys

    command = [sys.executable, "-m", "ostro.benchmarks.small_model", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--once" in shown
    assert "--max-tokens" in shown
