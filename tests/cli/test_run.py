"""`ostro run` at the front door: bad input is one line and changes nothing; a run by the script ends with a branch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.agent.outcome import RunReport
from ostro.benchmarks.scripted_endpoint import FaultPlan, ScriptedEndpoint
from tests.front_door import ostro
from tests.running import environment

FIX = {
    "command": "str_replace",
    "path": "hello.py",
    "old_str": '"helo"',
    "new_str": '"hello"',
}
TURNS = [
    {
        "content": "I look.",
        "calls": [{"name": "str_replace_editor", "arguments": {"command": "view", "path": "hello.py"}}],
    },
    {"content": "I mend.", "calls": [{"name": "str_replace_editor", "arguments": FIX}]},
    {"content": "Done.", "calls": [{"name": "submit", "arguments": {"summary": "Spell hello with two l."}}]},
    {"content": "Done.", "calls": [{"name": "submit", "arguments": {"summary": "Spell hello with two l."}}]},
]
CHECK = "python3 -c 'import hello; assert hello.hello() == \"hello\"'"


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ostro.cli.main", "run", *arguments]


def ostro_run(*arguments: str, typed: bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
    return ostro("run", *arguments, typed=typed, **variables)


def snapshot(repository: Path) -> dict[str, bytes]:
    """Everything of the user's that a run may not change."""
    files = {f"file {path.name}": path.read_bytes() for path in repository.iterdir() if path.is_file()}
    index = (repository / ".git" / "index").read_bytes()
    told = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname) %(objectname)"], cwd=repository, check=True, capture_output=True
    )
    head = (repository / ".git" / "HEAD").read_bytes()
    config = (repository / ".git" / "config").read_bytes()
    return {**files, "index": index, "refs": told.stdout, "head": head, "config": config}


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(TURNS) as served:
        yield served


@pytest.fixture
def model(endpoint: ScriptedEndpoint) -> tuple[str, ...]:
    return ("--endpoint", endpoint.url, "--model", "m", "--price", "1,2", "--sandbox", "none")


def test_run_ends_with_a_branch_and_touches_nothing_else(repository: Path, model: tuple[str, ...]) -> None:
    (repository / "mine.txt").write_text("not committed")
    before = snapshot(repository)
    done = ostro_run("--repo", str(repository), "--task", "Spell it", "--test", CHECK, "--output", "json", *model)
    assert done.returncode == 0, done.stderr
    report = RunReport.model_validate(json.loads(done.stdout))
    after = snapshot(repository)
    added = set(after.pop("refs").splitlines()) - set(before.pop("refs").splitlines())
    assert after == before
    assert [line.split()[0].decode() for line in added] == [f"refs/heads/{report.branch}"]
    assert report.tests.source == "flag"
    assert (report.tests.before.status, report.tests.after.status) == ("red", "green")
    assert any("mine.txt" in warning or "uncommitted" in warning for warning in report.warnings)
    assert report.cost_usd == pytest.approx((report.tokens.input + 2 * report.tokens.output) / 1e6)
    assert Path(str(report.patch)).read_text().count("+    return") == 1


def test_run_with_an_issue_on_stdin_works_the_same(repository: Path, model: tuple[str, ...]) -> None:
    done = ostro_run(
        "--repo", str(repository), "--issue", "-", "--test", "", *model, typed=b"# Spell it\n\nhelo is wrong"
    )
    assert done.returncode == 0, done.stderr
    assert "submitted" in done.stdout
    assert "ostro/spell-it-" in done.stdout


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--steps", "0"], 2, "steps"),
        (["--price", "cheap"], 2, "price"),
        (["--sandbox", "chroot"], 2, "--sandbox"),
        (["--model", "nosuch", "--price", ""], 2, "price"),
        (["--endpoint", "vercell"], 2, "vercel"),
        (["--issue", "missing.md"], 2, "missing.md"),
    ],
)
def test_bad_flag_is_one_line_and_changes_nothing(
    flags: list[str], code: int, said: str, repository: Path, model: tuple[str, ...]
) -> None:
    before = snapshot(repository)
    task = [] if "--issue" in flags else ["--task", "x"]
    done = ostro_run("--repo", str(repository), *task, *model, *flags)
    assert done.returncode == code
    assert said in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("ostro: ")
    assert "Traceback" not in done.stderr
    assert snapshot(repository) == before
    assert not (Path(os.environ["OSTRO_HOME"]) / "reports").exists()


def test_missing_key_names_its_variable(repository: Path) -> None:
    done = ostro_run("--repo", str(repository), "--task", "x", "--sandbox", "none", "--output", "json")
    report = RunReport.model_validate(json.loads(done.stdout))
    assert (done.returncode, report.outcome) == (4, "model_error")
    assert report.error is not None
    assert "AI_GATEWAY_API_KEY" in report.error.message + report.error.mend


def test_wrong_key_is_a_model_error_with_the_key_nowhere(repository: Path) -> None:
    with ScriptedEndpoint(TURNS, faults=[FaultPlan("401", None, 0)]) as served:
        flags = ["--endpoint", served.url, "--model", "m", "--price", "0,0", "--sandbox", "none"]
        done = ostro_run("--repo", str(repository), "--task", "x", *flags, OSTRO_API_KEY="sk-very-secret-key-123")
    assert done.returncode == 4
    assert "sk-very-secret" not in done.stdout + done.stderr
    kept = [path.read_bytes() for path in Path(os.environ["OSTRO_HOME"]).rglob("*") if path.is_file()]
    assert not [data for data in kept if b"sk-very-secret" in data]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "text"), (b"x" * 5_000_000, "limit of")],
)
def test_unusable_issue_file_is_refused(
    content: bytes, said: str, repository: Path, tmp_path: Path, model: tuple[str, ...]
) -> None:
    (tmp_path / "issue.md").write_bytes(content)
    done = ostro_run("--repo", str(repository), "--issue", str(tmp_path / "issue.md"), *model)
    assert done.returncode == 2
    assert said in done.stderr


def test_latin1_issue_file_is_read(repository: Path, tmp_path: Path, model: tuple[str, ...]) -> None:
    (tmp_path / "issue.md").write_bytes("# Gr\xfc\xdfe\n\nhelo ist falsch".encode("latin-1"))
    done = ostro_run("--repo", str(repository), "--issue", str(tmp_path / "issue.md"), "--test", "", *model)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["missing", "plain folder", "no commits"])
def test_unusable_repository_is_refused(kind: str, tmp_path: Path, model: tuple[str, ...]) -> None:
    folder = tmp_path / "place"
    if kind != "missing":
        folder.mkdir()
    if kind == "no commits":
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    done = ostro_run("--repo", str(folder), "--task", "x", *model)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ostro: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_when_told_to_stop_ends_130_and_keeps_the_work(number: signal.Signals, repository: Path) -> None:
    turns = [TURNS[1], {"content": "", "calls": [{"name": "bash", "arguments": {"command": "echo; sleep 60"}}]}]
    with ScriptedEndpoint(turns) as served:
        flags = ["--endpoint", served.url, "--model", "m", "--price", "0,0", "--sandbox", "none", "--test", ""]
        process = subprocess.Popen(
            command_line("--repo", str(repository), "--task", "x", "--output", "json", *flags),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "str_replace hello.py" in line:
                break
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=60)
    report = RunReport.model_validate(json.loads(stdout))
    assert (process.returncode, report.outcome) == (130, "interrupted")
    assert '+    return "hello"' in Path(str(report.patch)).read_text()
