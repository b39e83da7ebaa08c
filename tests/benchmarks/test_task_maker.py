"""Tasks of two commits, their test lists found by running; and the command that makes them."""

import json
from pathlib import Path

import pytest

from ostro.benchmarks.instance import FilesSource, GitSource
from ostro.benchmarks.instance_files import read_instances
from ostro.benchmarks.task_maker import TaskError, base_source, find_commits, split_change
from ostro.cli.main import main
from ostro.sandbox.protocol import RepositoryError
from tests.benchmarks.test_history import git

BEFORE = "def double(x):\n    return x + x + 1\n"
TEST = """\
import unittest
from number import double

class TestDouble(unittest.TestCase):
    def test_type(self):
        self.assertIsInstance(double(1), int)
"""
MORE = """
    def test_value(self):
        self.assertEqual(double(2), 4)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: a wrong function with a test that passes, then its fix with one that shows it."""
    folder = tmp_path / "repository"
    (folder / "tests").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "number.py").write_text(BEFORE)
    (folder / "tests" / "__init__.py").write_text("")
    (folder / "tests" / "test_number.py").write_text(TEST)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "base")
    (folder / "number.py").write_text(BEFORE.replace(" + 1", ""))
    (folder / "tests" / "test_number.py").write_text(TEST + MORE)
    git(folder, "commit", "-qam", "fix")
    return folder


def init_task(repository: Path, *more: str) -> int:
    arguments = ["init-task", "--repo", str(repository), "--id", "made__number-1", "--task", "double() is off by one"]
    arguments += ["--test", "python3 -m unittest -v", "--parser", "unittest", "--sandbox", "local", *more]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_init_task_when_the_commits_hold_a_fix_then_the_row_names_what_it_mends(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tasks.jsonl"
    assert init_task(repository, "--out", str(out), "--output", "json") == 0
    (row,) = read_instances(out)
    assert row.fail_to_pass == ("test_value (tests.test_number.TestDouble.test_value)",)
    assert row.pass_to_pass == ("test_type (tests.test_number.TestDouble.test_type)",)
    assert "tests/" not in row.patch
    assert "number.py" in row.patch
    assert json.loads(capsys.readouterr().out)["instance_id"] == "made__number-1"
    assert init_task(repository, "--out", str(out)) == 2
    assert "has a task made__number-1 already" in capsys.readouterr().err


def test_init_task_when_no_test_shows_the_fix_then_it_says_so(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "number.py").write_text("# nothing\n" + BEFORE)
    (repository / "tests" / "test_number.py").write_text(TEST.replace("int)", "(int, float))"))
    git(repository, "commit", "-qam", "no fix")
    assert init_task(repository) == 2
    assert "no test fails on the base and passes with the fix" in capsys.readouterr().err


def test_init_task_when_the_repository_has_settings_and_another_work_tree_then_it_is_read_all_the_same(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "config", "user.email", "somebody@example.org")
    git(repository, "config", "diff.external", "false")
    git(repository, "worktree", "add", "-q", str(tmp_path / "other"))
    for place in (repository, tmp_path / "other"):
        commits = find_commits(place, "HEAD~1", "HEAD")
        fix, tests = split_change(commits)
        assert ("number.py" in fix, "test_number.py" in tests) == (True, True)
        assert isinstance(base_source(commits), FilesSource)


@pytest.mark.parametrize("keep", ["number.py", "tests/test_number.py"])
def test_split_when_one_half_is_missing_then_it_is_refused(repository: Path, keep: str) -> None:
    git(repository, "checkout", "-q", "-b", "half", "HEAD~1")
    git(repository, "checkout", "-q", "main", "--", keep)
    git(repository, "commit", "-qm", "half")
    with pytest.raises(TaskError, match=r"no test|nothing but tests"):
        split_change(find_commits(repository, "HEAD~1", "HEAD"))


def test_source_when_the_tree_is_small_text_then_it_goes_into_the_row_else_its_commit(repository: Path) -> None:
    commits = find_commits(repository, "HEAD~1", "HEAD")
    source = base_source(commits)
    assert isinstance(source, FilesSource)
    assert source.files["number.py"] == BEFORE
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "a program")
    other = base_source(find_commits(repository, "HEAD", "HEAD~1"))
    assert isinstance(other, GitSource)
    assert other.commit == git(repository, "rev-parse", "HEAD")


def test_commits_when_a_name_means_nothing_then_it_is_named(repository: Path) -> None:
    with pytest.raises(RepositoryError, match="there is no commit absent"):
        find_commits(repository, "absent", "HEAD")
