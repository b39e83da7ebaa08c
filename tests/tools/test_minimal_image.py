"""The tools where there is no Python, no bash, no git and no ripgrep: a POSIX shell and the usual small programs.

Twice: with the programs of this machine, and with busybox alone where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.protocol import Sandbox, SandboxSpec
from ostro.sandbox.repository import inspect_repository
from ostro.tools.protocol import ToolContext
from ostro.tools.registry import Toolset
from tests.tools.conftest import Call, open_embedded

POSIX = """
awk cat chmod cp cut date dd env expr find grep head kill ln ls mkdir mkfifo mktemp mv od printf ps pwd rm rmdir sed seq
sh sleep sort stat tail tar tee test touch tr true uname uniq wc xargs
"""
EDITOR = "str_replace_editor"


def fill(folder: Path, kind: str) -> None:
    """Put the programs of a minimal image into `folder`."""
    folder.chmod(0o755)  # the sandbox is somebody else
    if kind == "posix":
        for name in POSIX.split():
            found = shutil.which(name)
            if found:
                (folder / name).symlink_to(os.path.realpath(found))
        return
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    shutil.copy(busybox, folder / "busybox")
    for name in subprocess.run([busybox, "--list"], capture_output=True, check=True, text=True).stdout.split():
        if name not in ("busybox", "bash"):
            (folder / name).symlink_to("busybox")


@pytest.fixture(scope="module", params=["posix", "busybox"])
def minimal(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("bin")
    fill(folder, request.param)
    base = prepare_base(inspect_repository(repository), tmp_path_factory.mktemp("base") / "base.git")
    spec = SandboxSpec(
        run_id="minimal",
        state_dir=tmp_path_factory.mktemp("state"),
        base_git=base.git_dir,
        base_commit=base.commit,
        env={"PATH": str(folder)},
        read_only=(folder,),
    )
    with open_embedded(spec) as sandbox:
        assert not any(sandbox.has(program) for program in ("python", "python3", "rg", "bash", "node"))
        yield sandbox


@pytest.fixture
def minimal_call(minimal: Sandbox) -> Call:
    context = ToolContext(sandbox=minimal)
    toolset = Toolset.default(vision=False)

    def run(name: str, /, **arguments: object) -> object:
        tool = toolset.get(name)
        assert tool is not None
        return tool.run(tool.args.model_validate(arguments), context)

    return run  # type: ignore[return-value]


def test_tools_when_image_has_only_a_posix_shell_then_a_whole_task_works(minimal_call: Call) -> None:
    call = minimal_call
    assert "src/pkg/calc.py" in call("search", pattern=r"def\s+add\(", glob="*.py").text
    assert call("search", pattern="calc.py", kind="file").text.startswith("src/pkg/calc.py")
    assert call("search", pattern="total", kind="symbol").text.startswith("src/pkg/calc.py:9:")
    assert call("search", pattern="add(result").text.startswith("(no match as a regular expression")
    assert "src/\nsrc/pkg/\ntests/\ntests/test_calc.py" in call(EDITOR, command="view", path=".").text
    assert "return a - b" in call(EDITOR, command="view", path="src/pkg/calc.py").text
    assert call(EDITOR, command="str_replace", path="src/pkg/calc.py", old_str="a - b", new_str="a + b").ok
    assert call(EDITOR, command="insert", path="src/pkg/calc.py", insert_line=1, new_str="import re").ok
    assert call(EDITOR, command="undo_edit", path="src/pkg/calc.py").ok
    assert call(EDITOR, command="create", path="check.sh", file_text="grep -q 'a + b' src/pkg/calc.py\n").ok
    assert "no longer parses: " in call(EDITOR, command="create", path="bad.sh", file_text="if true\nfi\n").text
    assert call("bash", command="sh check.sh").text == "(no output)\n[exit code 0]"
    assert call("bash", command="rm check.sh bad.sh; seq 1 30000 | tail -n 1").text.startswith("30000\n")
    review = call("submit", summary="Add.")
    assert "+    return a + b" in review.text, review.text
    assert call("submit", summary="Add.").done


def test_git_when_image_has_none_then_says_so(minimal_call: Call, minimal: Sandbox) -> None:
    assert not minimal.has("git")
    assert "There is no git in this sandbox" in minimal_call("git", command="status").text
