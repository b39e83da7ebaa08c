"""Writing the branch of a run again: our own is used again or moved on, anybody else's is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ostro.sandbox.branch import Branch, write_branch
from ostro.sandbox.host_git import Base, prepare_base
from ostro.sandbox.repository import Repository, inspect_repository
from tests.driving import git, make_repository

OURS = "Ostro-Run: 7"
NAME = "ostro/issue-1"


@dataclass(frozen=True)
class Publisher:
    """A repository and the base of a run in it."""

    repository: Repository
    base: Base

    def write(self, change: str, *, run: str = OURS, name: str = NAME, outcome: str = "submitted") -> Branch:
        patch = f"diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+{change}\n"
        message = f"Fix it\n\n{run}\nOstro-Outcome: {outcome}"
        return write_branch(self.repository, self.base, patch.encode(), branch=name, message=message, ours=run)

    def branches(self) -> list[str]:
        return git(self.repository.root, "branch", "--list", "--format=%(refname:short)", "*ostro*").splitlines()


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    repository = inspect_repository(make_repository(tmp_path / "repository"))
    return Publisher(repository, prepare_base(repository, tmp_path / "base.git"))


def test_write_branch_when_it_is_there_with_the_same_patch_then_the_very_same(publisher: Publisher) -> None:
    first = publisher.write("one")
    assert publisher.write("one") == first
    assert publisher.branches() == [NAME]


@pytest.mark.parametrize("again", [{"change": "two"}, {"change": "one", "outcome": "interrupted"}])
def test_write_branch_when_it_is_ours_then_it_moves_on(publisher: Publisher, again: dict[str, str]) -> None:
    first = publisher.write("one")
    second = publisher.write(**again)
    assert (second.name, second.renamed) == (NAME, False)
    assert second.commit != first.commit
    assert git(publisher.repository.root, "rev-parse", NAME) == second.commit
    assert git(publisher.repository.root, "rev-parse", f"{NAME}^") == publisher.base.source_commit
    assert publisher.branches() == [NAME]


def test_write_branch_when_ours_has_a_suffix_then_that_one_moves_on(publisher: Publisher) -> None:
    theirs = publisher.write("theirs", run="Ostro-Run: 6")
    first = publisher.write("one")
    assert (first.name, publisher.write("one"), publisher.write("two").name) == (f"{NAME}-2", first, f"{NAME}-2")
    assert git(publisher.repository.root, "rev-parse", NAME) == theirs.commit


def test_write_branch_when_a_plain_ostro_branch_is_in_the_way_then_ours_is_found_too(publisher: Publisher) -> None:
    git(publisher.repository.root, "branch", "ostro")
    first = publisher.write("one")
    assert first.name == "ostro-issue-1"
    assert publisher.write("one") == first
    assert publisher.write("two").name == first.name


def test_write_branch_when_the_run_of_another_issue_is_there_then_it_is_left(publisher: Publisher) -> None:
    other = publisher.write("one", name=f"{NAME}7")
    assert publisher.write("two").name == NAME
    assert git(publisher.repository.root, "rev-parse", f"{NAME}7") == other.commit


def test_write_branch_when_nobody_says_what_is_ours_then_a_suffix(publisher: Publisher) -> None:
    publisher.write("one", run="")
    assert publisher.write("one", run="").name == f"{NAME}-2"
