"""One real sandbox for all tests of the tools, its workspace reset before each."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from ostro.sandbox.host_git import prepare_base
from ostro.sandbox.open import open_sandbox
from ostro.sandbox.protocol import Sandbox, SandboxError, SandboxSpec
from ostro.sandbox.repository import inspect_repository
from ostro.tools.protocol import Observation, ToolContext
from ostro.tools.registry import Toolset

CALC = """import os


def add(a, b):
    return a - b


class Calc:
    def total(self, numbers):
        result = 0
        for number in numbers:
            result = add(result, number)
        return result
"""
FILES = {
    "src/pkg/calc.py": CALC,
    "tests/test_calc.py": "def test_add():\n    pass\n",
    "web/app.js": "const start = () => 1;\n\nclass App {\n  render(a) {\n    return start(a);\n  }\n}\n",
    "README.md": "# Calc\n\nUse add(a, b) to add.\n",
    ".gitignore": "ignored/\n",
}


class Call(Protocol):
    """Calls a tool as the intake does: arguments validated, then run."""

    def __call__(self, name: str, /, **arguments: object) -> Observation: ...


def open_embedded(spec: SandboxSpec) -> Sandbox:
    """Open the embedded sandbox, or none where this machine forbids namespaces: the tools work in both."""
    try:
        return open_sandbox("local", spec)
    except SandboxError as error:
        if error.kind != "unavailable":
            raise
        return open_sandbox("none", spec)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    for path, text in FILES.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-qm", "Base"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


@pytest.fixture(scope="session")
def sandbox(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    base = prepare_base(inspect_repository(repository), tmp_path_factory.mktemp("base") / "base.git")
    spec = SandboxSpec(
        run_id="tools", state_dir=tmp_path_factory.mktemp("state"), base_git=base.git_dir, base_commit=base.commit
    )
    with open_embedded(spec) as opened:
        yield opened


@pytest.fixture
def context(sandbox: Sandbox) -> ToolContext:
    reset = sandbox.run(f"cd {sandbox.workdir} && git reset -q --hard && git clean -fdxq")
    assert reset.exit_code == 0, reset.output.text()
    return ToolContext(sandbox=sandbox, test_command="pytest -q")


@pytest.fixture
def call(context: ToolContext) -> Call:
    toolset = Toolset.default(vision=True)

    def run(name: str, /, **arguments: object) -> Observation:
        tool = toolset.get(name)
        assert tool is not None
        return tool.run(tool.args.model_validate(arguments), context)

    return run
