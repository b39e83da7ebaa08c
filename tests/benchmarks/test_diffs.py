"""Diffs as git prints them, read and applied."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostro.benchmarks.diffs import DiffError, apply_hunks, parse_diff, split_lines, touched_paths
from ostro.benchmarks.policy import replacements, stands_once

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "    x = 1", "-- y", "+z"]), max_size=14)
ENDINGS = st.sampled_from(["\n", "\r\n"])


def git_diff(folder: Path, old: str, new: str) -> str:
    (folder / "old").write_bytes(old.encode())
    (folder / "new").write_bytes(new.encode())
    command = ["git", "diff", "--no-index", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "old", "new"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).stdout.decode()


def text_of(lines: list[str], ending: str, ended: bool) -> str:
    text = ending.join(lines)
    return text + ending if ended and text else text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=LINES, new=LINES, ending=ENDINGS, old_ended=st.booleans(), new_ended=st.booleans())
def test_apply_hunks_when_git_made_the_diff_then_the_new_text_comes_out(
    tmp_path: Path, old: list[str], new: list[str], ending: str, old_ended: bool, new_ended: bool
) -> None:
    before, after = text_of(old, ending, old_ended), text_of(new, ending, new_ended)
    diff = git_diff(tmp_path, before, after)
    files = parse_diff(diff)
    assert apply_hunks(before, files[0].hunks if files else ()) == after


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=LINES, new=LINES)
def test_replacements_when_carried_out_in_order_then_each_is_unique_and_the_new_text_comes_out(
    tmp_path: Path, old: list[str], new: list[str]
) -> None:
    text, after = text_of(["top", *old], "\n", True), text_of(["top", *new], "\n", True)
    files = parse_diff(git_diff(tmp_path, text, after))
    for edit in replacements(text, files[0].hunks if files else ()):
        assert stands_once(edit.old, text)
        text = text.replace(edit.old, edit.new)
    assert text == after


def test_apply_hunks_when_lines_moved_then_the_nearest_fit_is_taken() -> None:
    diff = "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n x\n-y\n+z\n"
    text = "one\ntwo\nx\ny\nthree\nfour\nfive\nx\ny\n"
    assert apply_hunks(text, parse_diff(diff)[0].hunks) == "one\ntwo\nx\nz\nthree\nfour\nfive\nx\ny\n"


def test_apply_hunks_when_the_lines_are_not_there_then_it_says_so() -> None:
    hunks = parse_diff("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-y\n+z\n")[0].hunks
    with pytest.raises(DiffError, match="line 1 does not fit"):
        apply_hunks("x\n", hunks)


def test_touched_paths_when_files_are_made_changed_and_deleted_then_each_is_named_once() -> None:
    diff = (
        "diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x\n"
        "--- a/old.py\n+++ b/old.py\n@@ -1 +1 @@\n-a\n+b\n"
        "--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
    )
    assert touched_paths(diff) == ("new.py", "old.py", "gone.py")


@pytest.mark.parametrize(
    ("diff", "problem"),
    [
        ("not a diff", "no file header"),
        ("--- a/f\n+++ b/f\n@@ -1,3 +1 @@\n-a\n", "cut off"),
        ("--- a/f\n+++ b/f\n@@ -1 +1 @@\n?a\n", "does not belong"),
        ("--- a/f\n+++ b/f\n@@ nonsense @@\n", "no hunk header"),
    ],
)
def test_parse_diff_when_the_text_is_broken_then_it_says_how(diff: str, problem: str) -> None:
    with pytest.raises(DiffError, match=problem):
        parse_diff(diff)


def test_split_lines_when_a_form_feed_is_in_a_line_then_the_line_stays_whole() -> None:
    assert split_lines("a\x0cb\nc\u2028d") == ["a\x0cb\n", "c\u2028d"]
