"""The git tool in a real sandbox."""

from __future__ import annotations

from ostro.tools.protocol import ToolContext
from tests.tools.conftest import CALC, Call


def test_status_and_diff_when_a_file_changed_then_show_it(call: Call) -> None:
    assert call("git", command="status").ok
    call("bash", command="sed -i 's/a - b/a + b/' src/pkg/calc.py; echo new > new.txt")
    status = call("git", command="status").text
    assert " M src/pkg/calc.py" in status
    assert "?? new.txt" in status
    diff = call("git", command="diff").text
    assert "-    return a - b\n+    return a + b" in diff


def test_restore_when_a_file_is_named_then_brings_it_back(call: Call, context: ToolContext) -> None:
    call("bash", command="echo broken > src/pkg/calc.py; cd src")
    done = call("git", command="restore", args=["src/pkg/calc.py"])
    assert done.text == "(no output)"
    assert done.mutated
    assert context.sandbox.read("src/pkg/calc.py").decode() == CALC


def test_restore_when_whole_tree_is_named_then_refuses(call: Call, context: ToolContext) -> None:
    call("bash", command="echo work > README.md")
    done = call("git", command="restore", args="-- .")
    assert done.text.startswith("Not run: . would throw away all changes at once")
    assert context.sandbox.read("README.md") == b"work\n"


def test_command_when_git_fails_then_shows_its_message_and_code(call: Call) -> None:
    done = call("git", command="show", args=["nothing:here"])
    assert "fatal:" in done.text
    assert done.text.endswith("[exit code 128]")
    assert not done.ok


def test_commit_when_made_then_the_patch_still_has_the_change(call: Call, context: ToolContext) -> None:
    call("bash", command="echo more >> README.md")
    done = call("git", command="commit", args=["-a", "-m", "More"])
    assert done.ok, done.text
    assert "More" in call("git", command="log", args=["-1"]).text
    assert b"+more" in context.sandbox.patch()
    context.sandbox.run("git reset -q --hard HEAD~1", cwd=context.sandbox.workdir)


def test_diff_when_it_is_huge_then_is_cut_and_saved(call: Call, context: ToolContext) -> None:
    call("bash", command="seq 1 20000 >> README.md")
    done = call("git", command="diff")
    assert len(done.text) < context.observation_chars + 300
    assert "the whole output is in" in done.text


def test_diff_when_repository_configures_programs_then_they_do_not_run(call: Call, context: ToolContext) -> None:
    call("bash", command="git config diff.external 'touch pwned;' && git config core.pager 'touch pwned2;'")
    call("bash", command="echo more >> README.md")
    assert "+more" in call("git", command="diff").text
    call("bash", command="git config --unset diff.external; git config --unset core.pager")
    assert "pwned" not in call("bash", command="ls").text
