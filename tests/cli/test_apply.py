"""`ostro apply`: the patch of a finished run into a checkout, and what is said where it cannot go there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ostro.agent.errors import OstroError, StorageError, UsageError
from ostro.cli.main import cli
from ostro.sandbox.protocol import RepositoryError
from tests.driving import FILES, FIX, SUBMIT, Driven, bash, drive, git

FIXED = "def total(prices):\n    return sum(prices)\n"


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Driven:
    return drive(tmp_path_factory.mktemp("solved"), [bash("printf '\\000\\377' > new.bin"), FIX, SUBMIT, SUBMIT])


@pytest.fixture
def checkout(solved: Driven, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(solved.repository), "checkout")
    return tmp_path / "checkout"


def apply(run: Path | str, *arguments: str | Path) -> Result:
    words = ["apply", str(run), *map(str, arguments)]
    return CliRunner().invoke(cli, words, standalone_mode=False)


def test_apply_changes_the_files_and_nothing_else_and_takes_it_back(solved: Driven, checkout: Path) -> None:
    (checkout / ".git" / "info" / "attributes").write_text("*.py filter=evil\n")
    for way in ("clean", "smudge"):
        git(checkout, "config", f"filter.evil.{way}", f"touch {checkout.parent}/started; cat")
    before = git(checkout, "rev-parse", "HEAD")
    done = apply(solved.report.run, "--repo", checkout, "--output", "json")

    assert done.return_value == 0, done.output
    assert json.loads(done.stdout)["files"] == ["new.bin", "price.py"]
    assert (checkout / "price.py").read_text() == FIXED
    assert (checkout / "new.bin").read_bytes() == b"\x00\xff"
    assert not (checkout.parent / "started").exists()
    assert git(checkout, "rev-parse", "HEAD") == before
    assert git(checkout, "diff", "--cached", "--name-only") == ""

    back = apply(solved.report.run, "--repo", checkout, "--reverse")
    assert back.return_value == 0
    assert git(checkout, "status", "--porcelain") == ""


def test_apply_without_a_checkout_changes_that_of_the_run(tmp_path: Path) -> None:
    run = drive(tmp_path, [FIX, SUBMIT, SUBMIT])
    done = apply(run.report.run)
    assert "price.py" in done.stdout
    assert (run.repository / "price.py").read_text() == FIXED


def test_apply_keeps_other_changes_of_the_user(solved: Driven, checkout: Path) -> None:
    (checkout / "mine.txt").write_text("mine\n")
    assert apply(solved.report.run, "--repo", checkout).return_value == 0
    assert (checkout / "mine.txt").read_text() == "mine\n"


def test_apply_when_the_file_has_changed_then_nothing_is_and_the_branch_is_named(
    solved: Driven, checkout: Path
) -> None:
    (checkout / "price.py").write_text("another = 1\n")
    done = apply(solved.report.run, "--repo", checkout)
    assert isinstance(done.exception, RepositoryError)
    assert "price.py" in str(done.exception)
    assert f"git merge {solved.report.branch}" in done.exception.mend
    assert git(checkout, "status", "--porcelain").split() == ["M", "price.py"]


def test_apply_when_already_applied_then_refused_and_twice_reversed_too(solved: Driven, checkout: Path) -> None:
    assert isinstance(apply(solved.report.run, "--repo", checkout, "--reverse").exception, RepositoryError)
    apply(solved.report.run, "--repo", checkout)
    assert isinstance(apply(solved.report.run, "--repo", checkout).exception, RepositoryError)
    assert (checkout / "price.py").read_text() == FIXED


def test_apply_when_the_policy_refuses_the_patch_then_it_is_not_applied(tmp_path: Path) -> None:
    hook = bash("mkdir -p .github/workflows; echo 'on: push' > .github/workflows/ci.yml")
    run = drive(tmp_path, [hook, SUBMIT, SUBMIT])
    git(tmp_path, "clone", "-q", str(run.repository), "checkout")
    done = apply(run.report.run, "--repo", tmp_path / "checkout")
    assert isinstance(done.exception, UsageError)
    assert ".github/workflows/ci.yml" in str(done.exception)
    assert not (tmp_path / "checkout" / ".github").exists()


@pytest.mark.parametrize(
    ("loses", "error", "told"),
    [
        ("report.json", UsageError, "has not ended"),
        ("patch.diff", StorageError, "patch.diff"),
        ("base.git", StorageError, "base.git"),
    ],
)
def test_apply_when_the_run_folder_lacks_something_then_it_is_named(
    tmp_path: Path, loses: str, error: type[OstroError], told: str
) -> None:
    run = drive(tmp_path, [FIX, SUBMIT, SUBMIT])
    (Path(run.report.run) / loses).rename(tmp_path / "aside")
    done = apply(run.report.run)
    assert isinstance(done.exception, error)
    assert told in str(done.exception)
    assert (run.repository / "price.py").read_text() == FILES["price.py"]


def test_apply_of_a_run_without_a_patch_is_refused_with_its_outcome(tmp_path: Path) -> None:
    run = drive(tmp_path, [bash("ls")], steps=1)
    done = apply(run.report.run)
    assert isinstance(done.exception, UsageError)
    assert "step_limit" in str(done.exception)
