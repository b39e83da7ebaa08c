"""`ostro grade` and `ostro validate` as a user calls them."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ostro.benchmarks.instance import Instance
from ostro.benchmarks.instance_files import read_instances
from ostro.cli.main import main

SMALL = Path(__file__).parents[1] / "benchmarks" / "data" / "small.jsonl"


def ostro(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def leap() -> Instance:
    return next(one for one in read_instances(SMALL) if one.instance_id == "smallbugs__leap")


def test_grade_when_one_of_two_is_right_then_rate_table_and_folder_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = tmp_path / "preds.json"
    predictions.write_text(
        json.dumps({
            "smallbugs__leap": {"model_name_or_path": "m", "model_patch": leap().patch},
            "smallbugs__query": {"model_name_or_path": "n", "model_patch": None},
            "other__task-1": {"model_name_or_path": "m", "model_patch": "x"},
        })
    )  # fmt: skip
    tasks = tmp_path / "tasks.jsonl"
    rows = [line for line in SMALL.read_text().splitlines() if "__leap" in line or "__query" in line]
    tasks.write_text("\n".join(rows))
    out = tmp_path / "graded"
    flags = ["--tasks", str(tasks), "--predictions", str(predictions), "--sandbox", "local", "--out", str(out)]
    assert ostro("grade", *flags, "--fail-under", "60", "--output", "json", "--workers", "2") == 9
    told = capsys.readouterr()
    document: dict[str, Any] = json.loads(told.out)
    assert list(document) == [
        "schema", "run", "total", "resolved", "rate", "final", "interval", "endings", "cost_usd", "instances",
    ]  # fmt: skip
    assert (document["total"], document["resolved"], document["rate"]) == (2, 1, 0.5)
    assert document["endings"] == {"empty_patch": 1, "resolved": 1}
    assert "1 prediction is for no task here: other__task-1" in told.err
    assert "1 prediction has no patch" in told.err
    results = json.loads((out / "results.json").read_text())
    assert results["resolved_ids"] == ["smallbugs__leap"]
    assert results["manifest"]["model"] == "m, n"
    assert (out / "instances" / "smallbugs__leap" / "test.log").is_file()


def write_predictions(path: Path, **patches: str) -> None:
    rows = [{"instance_id": f"smallbugs__{name}", "model_patch": patch} for name, patch in patches.items()]
    path.write_text("".join(json.dumps({**row, "model_name_or_path": "m"}) + "\n" for row in rows))


def test_grade_when_repeated_then_only_what_is_not_graded_yet_or_has_another_patch_is_graded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, out = tmp_path / "preds.jsonl", tmp_path / "graded"
    flags = ["--tasks", str(SMALL), "--predictions", str(predictions), "--sandbox", "local", "--out", str(out)]
    flags += ["--only", "smallbugs__leap", "--only", "smallbugs__slug", "--output", "json"]
    write_predictions(predictions, leap=leap().patch, slug="")
    assert ostro("grade", *flags) == 0
    first = capsys.readouterr()
    assert {line.split(":")[0] for line in first.err.splitlines()} >= {"smallbugs__leap", "smallbugs__slug"}

    assert ostro("grade", *flags) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "smallbugs" not in second.err, "nothing was graded again"

    write_predictions(predictions, leap=leap().patch, slug="--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    assert ostro("grade", *flags) == 0
    third = capsys.readouterr()
    assert third.err.startswith("smallbugs__slug: patch_failed")
    assert "smallbugs__leap" not in third.err
    assert json.loads(third.out)["endings"] == {"patch_failed": 1, "resolved": 1}

    write_predictions(predictions, slug="")
    assert ostro("grade", *flags) == 0
    capsys.readouterr()
    left = [json.loads(line)["model_patch"] for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert left == ["", ""], "an earlier call's patch is nobody's now"
    assert not (out / "instances" / "smallbugs__leap" / "test.log").exists()

    write_predictions(predictions, leap=leap().patch)
    assert ostro("grade", *flags) == 0
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "1 task has no prediction.",
        "smallbugs__leap: resolved",
        "smallbugs__slug: empty_patch",
    ]


def test_grade_when_the_folder_holds_something_else_then_it_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "graded"
    flags = ["--tasks", str(SMALL), "--predictions", "null", "--sandbox", "local", "--out", str(out)]
    assert ostro("grade", *flags, "--only", "smallbugs__leap") == 0
    manifest = (out / "manifest.json").read_text()
    capsys.readouterr()

    assert ostro("grade", *flags, "--only", "smallbugs__slug") == 2
    assert "holds another evaluation: its rows are others" in capsys.readouterr().err
    assert ostro("validate", *flags[:2], "--sandbox", "local", "--out", str(out), "--only", "smallbugs__leap") == 2
    assert "its kind is grade, not validate" in capsys.readouterr().err
    assert (out / "manifest.json").read_text() == manifest


def test_grade_when_an_environment_cannot_be_made_then_it_is_infrastructure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = leap().model_dump(by_alias=True)
    row["environment_setup"]["install"] = ["exit 3"]
    (tmp_path / "tasks.json").write_text(json.dumps(row))
    flags = ["--tasks", str(tmp_path / "tasks.json"), "--predictions", "gold", "--sandbox", "local"]
    assert ostro("grade", *flags) == 5
    told = capsys.readouterr()
    assert "exit code 3" in told.err
    assert told.out.startswith("Not final: 1 instance failed for reasons of the infrastructure. Resolved so far 0 of 1")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--tasks", "absent.jsonl", "--predictions", "gold"], "absent.jsonl: no such file"),
        (["--tasks", str(SMALL), "--predictions", "absent.jsonl"], "absent.jsonl"),
        (["--tasks", str(SMALL), "--predictions", "gold", "--only", "x"], "no instance x"),
        (["--tasks", str(SMALL)], "--predictions"),
    ],
)
def test_grade_when_the_input_is_bad_then_it_is_one_line_and_exit_code_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ostro("grade", *arguments) == 2
    told = capsys.readouterr().err
    assert problem in told
    assert told.count("\n") == 1


def test_grade_when_interrupted_then_its_tests_end_with_it(tmp_path: Path) -> None:
    row = leap().model_dump(by_alias=True)
    row["environment_setup"]["test_cmd"] = "sleep 600"
    (tmp_path / "tasks.json").write_text(json.dumps(row))
    command = [sys.executable, "-m", "ostro.cli.main", "grade", "--tasks", str(tmp_path / "tasks.json")]
    command += ["--predictions", "gold", "--sandbox", "local", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    patch = tmp_path / "out" / "instances" / "smallbugs__leap" / "patch.diff"
    while not patch.exists() and process.poll() is None:
        threading.Event().wait(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "ostro: interrupted."


def test_validate_when_rows_are_sound_broken_or_not_runnable_then_each_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, void, alien = (leap().model_dump(by_alias=True) for _ in range(3))
    void |= {"instance_id": "small__void", "FAIL_TO_PASS": good["PASS_TO_PASS"][:1], "PASS_TO_PASS": ()}
    alien |= {"instance_id": "small__alien"}
    alien["environment_setup"] = alien["environment_setup"] | {"needs": ["ostro-absent"]}
    (tmp_path / "tasks.json").write_text(json.dumps([good, void, alien]))
    out = tmp_path / "validated"
    flags = ["--tasks", str(tmp_path / "tasks.json"), "--sandbox", "local", "--repeat", "2", "--out", str(out)]
    assert ostro("validate", *flags, "--output", "json", "--fail-under", "100") == 9
    document = json.loads(capsys.readouterr().out)
    verdicts = {one["instance_id"]: one["verdict"] for one in document["instances"]}
    assert verdicts == {"smallbugs__leap": "valid", "small__void": "broken", "small__alien": "not_runnable"}
    assert document["rate"] == 0.5
    quarantine = json.loads((out / "quarantine.json").read_text())
    assert list(quarantine) == ["small__void"]
    assert "doing nothing is resolved" in quarantine["small__void"]

    assert ostro("validate", *flags, "--output", "json") == 0
    again = capsys.readouterr()
    assert {one["instance_id"]: one["verdict"] for one in json.loads(again.out)["instances"]} == verdicts
    assert [line.split(":")[0] for line in again.err.splitlines()] == ["small__alien"], "the others have a verdict"
