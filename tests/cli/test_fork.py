"""`ostro fork`: from a command line to a new run, and what is said where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ostro.agent.errors import UsageError
from ostro.benchmarks.scripted_endpoint import ScriptedEndpoint
from ostro.cli.main import cli
from tests.driving import FIX, SUBMIT, bash, drive


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    drive(folder, [bash("ls"), FIX, bash("ls")], steps=3)
    return folder / "run"


def call(*arguments: str | Path) -> Result:
    words = ["fork", *map(str, arguments)]
    return CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)


def test_fork_prints_the_report_of_the_new_run(parent: Path, tmp_path: Path) -> None:
    (tmp_path / "prompt.md").write_text("You mend Python.\n")
    with ScriptedEndpoint([SUBMIT]) as endpoint:
        flags = ["--endpoint", endpoint.url, "--model", "other", "--price", "0,0", "--steps", "9"]
        flags += ["--system-prompt", str(tmp_path / "prompt.md"), "--message-at", "Submit now."]
        done = call(parent, "--at", "2", *flags, "--out", tmp_path / "fork", "--output", "json")
    found = json.loads(done.stdout)
    assert (done.return_value, found["outcome"], found["steps"]) == (0, "submitted", 2)
    assert (found["run"], found["model"]) == (str(tmp_path / "fork"), "other")
    sent = endpoint.requests[0].body["messages"]
    assert (sent[0]["content"], sent[-1]["content"]) == ("You mend Python.", "Submit now.")


def test_fork_says_what_to_type_next(parent: Path, tmp_path: Path) -> None:
    (tmp_path / "message.txt").write_text("Submit now.\n")
    with ScriptedEndpoint([SUBMIT]) as endpoint:
        flags = ["--endpoint", endpoint.url, "--price", "0,0", "--steps", "9", "--message-file"]
        done = call(parent, "--at", "2", *flags, tmp_path / "message.txt", "--out", tmp_path / "fork")
    assert "git merge ostro/" in done.stdout
    assert f"cd {parent.parent / 'repository'}" in done.stdout
    assert endpoint.requests[0].body["messages"][-1]["content"] == "Submit now."


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--at", "7"], "step 7 of"),
        (["--at", "-1"], "step -1 of"),
        (["--at", "1", "--tools", "saw"], "no tool 'saw'"),
    ],
)
def test_fork_when_it_cannot_be_done_says_so(parent: Path, flags: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call(parent, *flags)


def test_fork_with_two_messages_or_none_of_a_file_is_refused(parent: Path, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read as text"):
        call(parent, "--at", "1", "--message-file", tmp_path / "binary")
    done = CliRunner().invoke(
        cli, ["fork", str(parent), "--at", "1", "--message-at", "x", "--message-file", str(tmp_path / "binary")]
    )
    assert (done.exit_code, "either --message-at or --message-file" in done.stderr) == (2, True)
