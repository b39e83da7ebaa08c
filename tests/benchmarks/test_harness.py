"""A batch: its budget, its interruption, its folder, and the whole way of a score with a scripted model."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ostro.agent.budget import Purse
from ostro.agent.errors import UsageError
from ostro.agent.record.events import Observed, Resumed
from ostro.agent.record.trajectory import read_events
from ostro.benchmarks.engine import ThreadEngine
from ostro.benchmarks.eval_request import Subject
from ostro.benchmarks.harness import Work, evaluate
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.orders import WorkOrder
from ostro.benchmarks.results import InstanceResult
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.benchmarks.store import DATASET, read_run
from tests.faults.batches import BEGUN, Silent, cheap_work, drive, request_for

ROWS = Path(__file__).parent / "data" / "small.jsonl"


def ostro(*arguments: str | Path, home: Path, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostro.cli.main", *map(str, arguments)]
    environment = {**os.environ, "OSTRO_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.mark.parametrize(("policy", "resolved", "verdict"), [("oracle", 2, "resolved"), ("null", 0, "empty_patch")])
def test_eval_when_a_script_solves_everything_or_nothing_then_the_score_says_so(
    tmp_path: Path, policy: str, resolved: int, verdict: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(ROWS.read_text().splitlines(keepends=True)[:2]))

    done = ostro(
        "eval", "--tasks", rows, "--out", tmp_path / "out", "--policy", policy, "--sandbox", "local",
        "--workers", "2", "--output", "json", home=tmp_path / "home",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    score = json.loads(done.stdout)
    assert (score["schema"], score["total"], score["resolved"], score["final"]) == (1, 2, resolved, True)
    assert [one["verdict"] for one in score["instances"]] == [verdict] * 2
    run = read_run(tmp_path / "out")
    assert {row.instance_id for row in read_instances(tmp_path / "out" / DATASET)} == set(run.instance_ids)
    for name in ("results.json", "report.md", "junit.xml", "report.html", "predictions.jsonl"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    again = ostro(
        "eval", "--tasks", rows, "--out", tmp_path / "out", "--policy", policy, "--sandbox", "local", home=tmp_path
    )
    assert again.returncode == 0
    assert "steps" not in again.stderr, "nothing was left to do"


def test_evaluate_when_the_budget_is_used_up_then_it_stops_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    request = request_for(tmp_path, 8)
    small = replace(request, settings=request.settings.model_copy(update={"budget": 1.0}))

    run, stopped = evaluate(small, ThreadEngine(1), cheap_work, Silent())
    assert (len(run.results), "budget" in stopped) == (4, True)

    run, stopped = evaluate(request, ThreadEngine(1), cheap_work, Silent())
    assert (len(run.results), stopped) == (8, "")
    assert len((tmp_path / BEGUN).read_text().split()) == 8


def test_evaluate_when_the_folder_holds_another_batch_then_refused_naming_the_difference(tmp_path: Path) -> None:
    drive(tmp_path, 3)
    with pytest.raises(UsageError, match="its rows are others"):
        drive(tmp_path, 4)


def test_evaluate_when_a_setting_that_makes_a_difference_changed_then_refused_naming_it(tmp_path: Path) -> None:
    evaluate(request_for(tmp_path, 2, steps=15), ThreadEngine(1), cheap_work, Silent())
    with pytest.raises(UsageError, match="its setting steps is 15, not 50"):
        evaluate(request_for(tmp_path, 2, steps=50), ThreadEngine(1), cheap_work, Silent())


def test_evaluate_when_the_tools_are_others_then_refused(tmp_path: Path) -> None:
    request = replace(request_for(tmp_path, 2), subject=Subject("m", (0.0, 0.0), "a" * 64))
    evaluate(request, ThreadEngine(1), cheap_work, Silent())
    with pytest.raises(UsageError, match="its tools_sha256 is aaa"):
        evaluate(replace(request, subject=Subject("m", (0.0, 0.0), "b" * 64)), ThreadEngine(1), cheap_work, Silent())


def test_evaluate_when_the_quarantine_comes_later_then_it_is_for_what_was_done_before_too(tmp_path: Path) -> None:
    request = request_for(tmp_path, 3)
    evaluate(request, ThreadEngine(1), cheap_work, Silent())
    flaky = {"batch__task-2": "flaky"}
    run, _ = evaluate(replace(request, quarantine=flaky), ThreadEngine(1), cheap_work, Silent())
    assert [result.flagged for result in run.results] == ["", "flaky", ""]
    run, _ = evaluate(request, ThreadEngine(1), cheap_work, Silent())
    assert [result.flagged for result in run.results] == ["", "", ""]
    assert len((tmp_path / BEGUN).read_text().split()) == 3, "nothing is done again"


def failing_work(kind: str, ending: str, count: int) -> Callable[[Purse], Work]:
    """Work whose first `count` orders fail for want of infrastructure."""

    def work_with(purse: Purse) -> Work:
        def work(order: WorkOrder) -> InstanceResult:
            if int(order.instance.instance_id.rpartition("-")[2]) > count:
                return cheap_work(purse)(order)
            return InstanceResult(
                instance_id=order.instance.instance_id, ending=ending, infra=f"{kind} it is", infra_kind=kind
            )

        return work

    return work_with


@pytest.mark.parametrize(
    ("kind", "ending", "count", "done"),
    [
        ("auth", "model_error", 1, 1),
        ("gone", "model_error", 1, 1),  # the model does not exist
        ("gone", "sandbox_error", 5, 9),  # sandboxes died: the next instance may fare better
        ("unavailable", "sandbox_error", 2, 9),
        ("unavailable", "sandbox_error", 5, 3),  # no engine answers, again and again
        ("unreachable", "model_error", 5, 3),
    ],
)
def test_evaluate_when_infrastructure_fails_then_the_batch_stops_only_where_all_else_would_fail_too(
    tmp_path: Path, kind: str, ending: str, count: int, done: int
) -> None:
    run, stopped = evaluate(request_for(tmp_path, 9), ThreadEngine(1), failing_work(kind, ending, count), Silent())
    assert len(run.results) == done
    assert stopped == ("" if done == 9 else f"{kind} it is")


def test_evaluate_when_the_folder_is_refused_then_no_file_of_it_is_touched(tmp_path: Path) -> None:
    drive(tmp_path, 3)
    foreign = tmp_path / "instances" / "other" / "result.json"
    foreign.parent.mkdir()
    foreign.write_text("somebody's own")
    with pytest.raises(UsageError):
        drive(tmp_path, 4)
    assert foreign.read_text() == "somebody's own"


def test_eval_when_it_ends_then_the_manifest_names_what_each_instance_ran_in(tmp_path: Path) -> None:
    done = ostro(
        "eval", "--tasks", ROWS, "--limit", "1", "--out", tmp_path / "out", "--policy", "oracle", "--sandbox", "local",
        "--jobs", "1", home=tmp_path / "home",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = read_run(tmp_path / "out")
    (result,) = run.results
    assert run.manifest.images == {result.instance_id: result.environment}
    assert (tmp_path / "home" / "instances" / "local" / result.environment).is_dir()


def test_evaluate_when_interrupted_once_then_what_is_under_way_is_finished_and_nothing_begun(tmp_path: Path) -> None:
    text = (
        "import os, signal, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background was started to ignore it
        "from ostro.agent.interruption import watch_signals\n"
        "from ostro.benchmarks.engine import ThreadEngine\n"
        "from ostro.benchmarks.harness import evaluate\n"
        "from tests.faults.batches import Silent, cheap_work, request_for\n"
        "def work_with(purse):\n"
        "    def work(order):\n"
        "        if order.instance.instance_id.endswith('-3'): os.kill(os.getpid(), signal.SIGINT)\n"
        "        return cheap_work(purse)(order)\n"
        "    return work\n"
        "with watch_signals():\n"
        "    engine = ThreadEngine(1)\n"
        "    evaluate(request_for(Path(sys.argv[1]), 9), engine, work_with, Silent())\n"
        "sys.exit(130 if engine.drained else 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path)], env=os.environ, check=False, timeout=60)

    assert done.returncode == 130
    assert len(read_run(tmp_path).results) == len((tmp_path / BEGUN).read_text().split()) < 9


def test_eval_when_killed_in_the_middle_then_the_same_command_finishes(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "ostro.cli.main", "eval", "--tasks", str(ROWS), "--limit", "2", "--out",
        str(tmp_path / "out"), "--policy", "oracle", "--sandbox", "local", "--workers", "2",
    ]  # fmt: skip
    environment = {**os.environ, "OSTRO_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    logs = tmp_path / "out" / "instances"

    def acted() -> bool:
        return any(b'"observed"' in log.read_bytes() for log in logs.glob("*/run/trajectory.jsonl"))

    while process.poll() is None and not acted():
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stderr
    assert {result.status for result in read_run(tmp_path / "out").results} == {"resolved"}
    events = [event for log in logs.glob("*/run/trajectory.jsonl") for event in read_events(log)]
    assert any(isinstance(event, Resumed) for event in events), "it was gone on with, not begun anew"
    assert "begun anew" not in done.stderr


def longest_added(patch: str) -> str:
    return max((line[1:].strip() for line in patch.splitlines() if line[:1] == "+" and line[:2] != "++"), key=len)


def test_eval_when_the_agent_looks_for_the_answer_then_neither_fix_nor_hidden_tests_nor_a_future_is_there(
    tmp_path: Path,
) -> None:
    row = next(one for one in read_instances(ROWS) if one.instance_id == "smallbugs__leap")
    (tmp_path / "rows.jsonl").write_text(row.model_dump_json(by_alias=True) + "\n")
    fixed, hidden = longest_added(row.patch), longest_added(row.test_patch)
    places = "/workspace /tmp /ostro /opt/env /etc /home /var"
    looks = [
        f"grep -rIlF -- {shlex.quote(fixed)} {places} 2>/dev/null | grep -v /ostro/state/command; echo searched",
        f"grep -rIlF -- {shlex.quote(hidden)} {places} 2>/dev/null | grep -v /ostro/state/command; echo searched",
        "git log --all --oneline | wc -l; git log --all --reflog --oneline | wc -l; git tag | wc -l",
    ]
    turns = [{"calls": [{"name": "bash", "arguments": {"command": look}}]} for look in looks]
    turns.append({"calls": [{"name": "submit", "arguments": {"summary": "Nothing was found.", "give_up": True}}]})
    with ScriptedEndpoint(turns) as endpoint:
        done = ostro(
            "eval", "--tasks", tmp_path / "rows.jsonl", "--out", tmp_path / "out", "--sandbox", "local",
            "--endpoint", endpoint.url, "--model", endpoint.model, "--price", "0,0", home=tmp_path / "home",
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    log = tmp_path / "out" / "instances" / "smallbugs__leap" / "run" / "trajectory.jsonl"
    observed = [event.text for event in read_events(log) if isinstance(event, Observed)]
    assert [text.splitlines()[0] for text in observed[:2]] == ["searched", "searched"]
    assert observed[2].split()[:3] == ["1", "1", "0"], "one commit, as it was checked out, and no tag"
    asked = json.dumps([request.body for request in endpoint.requests])
    assert row.problem_statement.splitlines()[0] in json.loads(asked)[0]["messages"][1]["content"]
    assert row.test_patch.splitlines()[0] not in asked
