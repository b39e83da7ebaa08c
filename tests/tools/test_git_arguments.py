"""Which git commands are run and which are refused, before any sandbox is asked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ostro.tools.git import GitArgs, GitCommand, command_line
from ostro.tools.protocol import Refused


@pytest.mark.parametrize(
    ("command", "args", "line"),
    [
        ("status", [], "git --no-pager status --short --branch"),
        ("log", [], "git --no-pager log --oneline --max-count=20"),
        ("log", ["-3"], "git --no-pager log -3"),
        ("log", ["--", "a b.py"], "git --no-pager log --max-count=20 -- 'a b.py'"),
        ("diff", ["--stat"], "git --no-pager diff --no-ext-diff --stat"),
        ("show", ["HEAD:a.py"], "git --no-pager show --no-ext-diff HEAD:a.py"),
        ("blame", ["a.py"], "git --no-pager blame a.py"),
        ("restore", ["a.py"], "git --no-pager restore a.py"),
        ("restore", ["--staged", "."], "git --no-pager restore --staged ."),
        ("commit", ["-a", "-m", "it's"], "git --no-pager commit -a -m 'it'\"'\"'s'"),
        ("diff", ["; rm -rf /"], "git --no-pager diff --no-ext-diff '; rm -rf /'"),
    ],
)
def test_command_when_harmless_then_is_quoted_for_the_shell(command: GitCommand, args: list[str], line: str) -> None:
    assert command_line(command, args) == line


@pytest.mark.parametrize(
    ("command", "args", "reason"),
    [
        ("diff", ["--output=/etc/x"], "--output"),
        ("diff", ["--output", "x"], "--output"),
        ("diff", ["--ext-diff"], "--ext-diff"),
        ("restore", ["."], "all changes at once"),
        ("restore", [":/"], "all changes at once"),
        ("restore", [], "needs the files"),
        ("restore", ["-p", "a.py"], "wait for input"),
        ("restore", ["--staged", "--worktree", "."], "all changes at once"),
        ("commit", [], "needs a message"),
        ("commit", ["--patch", "-m", "x"], "wait for input"),
        ("show", ["a\0b"], "NUL"),
    ],
)
def test_command_when_dangerous_then_is_refused_with_the_reason(
    command: GitCommand, args: list[str], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        command_line(command, args)


def test_arguments_when_sent_as_a_string_then_are_split_like_a_shell_does() -> None:
    assert GitArgs.model_validate({"command": "log", "args": "-n 3 -- 'a b'"}).args == ["-n", "3", "--", "a b"]
    assert GitArgs.model_validate({"command": "commit", "args": "-m it's"}).args == ["-m", "it's"]
    assert GitArgs.model_validate({"command": "log", "args": '["-n", "3"]'}).args == ["-n", "3"]


@pytest.mark.parametrize("verb", ["push", "fetch", "pull", "clone", "remote", "reset", "checkout", "config"])
def test_command_when_verb_is_not_offered_then_is_refused(verb: str) -> None:
    with pytest.raises(ValidationError):
        GitArgs.model_validate({"command": verb})
