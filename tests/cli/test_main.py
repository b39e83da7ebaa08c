"""The front door: help, errors as one line or one object, exit codes."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.agent.errors import ModelError, PreflightError, StorageError, UsageError
from ostro.agent.outcome import RunReport
from ostro.cli.errors import Boundary, failure_of, wants_json
from ostro.cli.main import COMMANDS, cli
from ostro.sandbox.protocol import RepositoryError, SandboxError
from tests.front_door import ostro

ROOT = Path(__file__).parent.parent.parent
HELP_BUDGET_S = 0.15
"""`ostro --help` answers in under 150 ms; measured as processor time, so that a busy machine does not matter."""


def print_help() -> int:
    command = [sys.executable, "-m", "ostro.cli.main", "--help"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "typings")}
    return subprocess.run(command, capture_output=True, check=False, env=environment).returncode


def test_help_answers_within_its_budget() -> None:
    print_help()  # writes the bytecode
    times: list[float] = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert print_help() == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < HELP_BUDGET_S


def test_help_imports_none_of_the_commands() -> None:
    code = """
import sys, ostro.cli.main as m
try:
    m.main(["--help"])
except SystemExit:
    print(sorted(sys.modules), file=sys.stderr)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "typings")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    loaded = [name for name in ("pydantic", "openai", "docker", "ostro.cli.run") if f"'{name}'" in done.stderr]
    assert loaded == []


@pytest.mark.parametrize("name", COMMANDS)
def test_command_of_the_table_exists_and_has_help_with_an_example(name: str) -> None:
    command = importlib.import_module(f"ostro.cli.{name.replace('-', '_')}").command
    assert isinstance(command, click.Command)
    done = ostro(name, "--help")
    assert done.returncode == 0
    assert f"ostro {name}" in done.stdout
    assert "Examples:" in done.stdout


def test_table_when_compared_with_the_folder_lists_every_command() -> None:
    found = {
        path.stem.replace("_", "-")
        for path in (ROOT / "cli").glob("*.py")
        if isinstance(getattr(importlib.import_module(f"ostro.cli.{path.stem}"), "command", None), click.Command)
    }
    assert found == set(COMMANDS)
    assert set(cli.list_commands(click.Context(cli))) == found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rum"], "Did you mean `ostro run`?"),
        (["zzz"], "`ostro --help` lists the commands."),
        (["config", "--outptu", "json"], "--output"),
        (["config", "--out", "json"], "No such option"),
        (["config", "--output", "xml"], "--output"),
        (["run"], "--issue or --task"),
        (["run", "--issue", "1", "--task", "x"], "--issue or --task"),
        (["runs", "nonesuch"], "`ostro runs` lists them"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = ostro(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("ostro: ")
    assert said in done.stderr


def test_bad_input_of_run_with_json_is_one_whole_report() -> None:
    done = ostro("run", "--output", "json", "--steps", "many")
    report = RunReport.model_validate(json.loads(done.stdout))
    assert (done.returncode, report.exit_code, report.outcome) == (2, 2, "usage")
    assert report.error is not None
    assert "many" in report.error.message
    assert done.stderr == ""


def test_bad_input_of_another_command_with_json_is_one_object() -> None:
    done = ostro("runs", "nonesuch", "--output=json")
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    assert found["exit_code"] == done.returncode == 2
    assert set(found["error"]) == {"kind", "message", "mend"}


def test_unexpected_exception_leaves_a_report_and_no_traceback(tmp_path: Path) -> None:
    code = "import ostro.cli.main as m, ostro.cli.runs as r\nr._list = None\nm.main(['runs'])"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "typings"), "OSTRO_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 70
    assert "Traceback" not in done.stderr
    (report,) = (tmp_path / "reports").iterdir()
    assert str(report) in done.stderr
    assert "Traceback" in report.read_text()


def test_output_when_the_reader_left_is_quiet() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "typings")}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "ostro.cli.main", "config"],
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment,
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.parametrize(
    ("error", "code", "ending"),
    [
        (UsageError("x"), 2, "usage"),
        (RepositoryError("x"), 2, "usage"),
        (ModelError("x", kind="auth"), 4, "model_error"),
        (PreflightError("x"), 5, "preflight_failed"),
        (SandboxError("x", kind="gone"), 5, "sandbox_error"),
        (SandboxError("x", kind="workspace_lost"), 5, "workspace_lost"),
        (SandboxError("x", kind="disk_full"), 6, "disk_full"),
        (StorageError("x"), 6, "storage_error"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.UsageError("x"), 2, "usage"),
    ],
)
def test_failure_of_an_exception_has_the_documented_code(error: BaseException, code: int, ending: str) -> None:
    failure = failure_of(error)
    assert (failure.exit_code, failure.ending) == (code, ending)


def test_boundary_when_the_message_has_lines_prints_one(capsys: pytest.CaptureFixture[str]) -> None:
    with Boundary(["run"]) as boundary:
        raise UsageError("first\nsecond", mend="Do this.")
    assert boundary.exit_code == 2
    assert capsys.readouterr().err == "ostro: first second. Do this.\n"


@given(st.lists(st.sampled_from(["run", "--output", "json", "text", "--output=json", "--", "x"]), max_size=6))
def test_wants_json_agrees_with_a_reading_word_by_word(words: list[str]) -> None:
    own = words[: words.index("--")] if "--" in words else words
    text = " ".join(own) + " "
    assert wants_json(words) == ("--output json " in text or "--output=json " in text)
