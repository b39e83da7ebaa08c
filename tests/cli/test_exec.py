"""`ostro exec`: exit codes, output, and that nothing of the user's changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def ostro_exec(*arguments: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "typings")} | variables
    command = [sys.executable, "-m", "ostro.cli.main", "exec", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, input=typed, timeout=60
    )


@pytest.fixture
def place(repository: Path) -> tuple[str, ...]:
    (repository / "ostro.toml").write_text("setup = []\n")
    return ("--repo", str(repository), "--sandbox", "none")


def test_exec_ends_with_the_commands_own_code_and_output(place: tuple[str, ...]) -> None:
    done = ostro_exec(*place, "--", "cat hello.py; echo wrong >&2; exit 7")
    assert done.returncode == 7
    assert "helo" in done.stdout
    assert "wrong" in done.stdout


def test_exec_when_it_has_ended_leaves_no_folder(place: tuple[str, ...]) -> None:
    ostro_exec(*place, "--", "true")
    home = Path(os.environ["OSTRO_HOME"])
    left = [*(home / "sandboxes").iterdir(), *(home / "exec").iterdir()]
    assert [path for path in left if not path.name.startswith(".")] == [], "besides the reaper's own marks"


def test_exec_of_several_words_quotes_them(place: tuple[str, ...]) -> None:
    assert ostro_exec(*place, "--", "printf", "%s|", "a b", "$HOME", "--output").stdout == "a b|$HOME|--output|"


def test_exec_when_it_changes_files_leaves_the_repository_alone(place: tuple[str, ...], repository: Path) -> None:
    assert ostro_exec(*place, "--", "rm hello.py && touch new").returncode == 0
    assert sorted(path.name for path in repository.iterdir()) == [".git", "hello.py", "ostro.toml"]
    assert list((Path(os.environ["OSTRO_HOME"]) / "exec").iterdir()) == []


def test_exec_when_the_command_takes_too_long_is_124(place: tuple[str, ...]) -> None:
    done = ostro_exec(*place, "--timeout", "0.5", "--", "echo begun; sleep 60")
    assert done.returncode == 124
    assert done.stdout == "begun\n"
    assert "killed after 0.5 s" in done.stderr


def test_exec_when_no_sandbox_can_be_had_is_125(repository: Path) -> None:
    arguments = ("--repo", str(repository), "--sandbox", "docker", "--", "true")
    done = ostro_exec(*arguments, DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1].startswith("ostro: ")


def test_exec_when_the_repository_is_missing_is_2(tmp_path: Path) -> None:
    assert ostro_exec("--repo", str(tmp_path / "none"), "--", "true").returncode == 2


def test_exec_with_json_prints_one_object(place: tuple[str, ...]) -> None:
    found = json.loads(ostro_exec(*place, "--output", "json", "--", "echo hi; exit 3").stdout)
    assert (found["exit_code"], found["output"], found["timed_out"], found["sandbox"]) == (3, "hi\n", False, "none")


def test_exec_when_the_output_is_large_prints_all_of_it(place: tuple[str, ...]) -> None:
    done = ostro_exec(*place, "--", "seq 100000")
    assert done.stdout.splitlines() == [str(number) for number in range(1, 100001)]


def test_exec_without_a_command_is_a_shell_that_keeps_its_directory(place: tuple[str, ...]) -> None:
    done = ostro_exec(*place, typed="mkdir deep && cd deep\nexport X=5\npwd; echo $X\nfalse\n")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2].endswith("/deep")
    assert done.stdout.splitlines()[-1] == "5"
