"""The house: imports run downward only, and importing a room does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("agent", "benchmarks", "cli", "forge", "prompts", "sandbox", "tools")


def test_imports_when_checked_by_import_linter_run_downward(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "typings")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 kept, 0 broken" in found.stdout


def modules() -> list[str]:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "bundled" not in path.parts]
    names = [path.relative_to(ROOT).with_suffix("").parts for path in files]
    return sorted(".".join(("ostro", *(part for part in name if part != "__init__"))) for name in names)


AUDIT = """
import importlib, os, sys
noted = []
def hook(event, args):
    if event == "open":
        path = os.fspath(args[0]) if isinstance(args[0], (str, bytes, os.PathLike)) else ""
        path = os.fsdecode(path)
        code = path.endswith((".py", ".pyc", ".so", ".pth", ".pyi")) or ".pyc." in path
        library = path.startswith((sys.prefix, sys.base_prefix, "/usr/lib", "/lib", "/proc/self", "__editable__"))
        if path and not code and not library:
            noted.append(f"open {path}")
    elif event.startswith(("socket.connect", "socket.getaddrinfo", "subprocess", "os.system", "os.mkdir", "os.putenv")):
        noted.append(f"{event} {args!r}")
sys.addaudithook(hook)
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n".join(noted))
sys.exit(1 if noted else 0)
"""


def test_importing_every_module_opens_no_file_and_starts_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", AUDIT, *modules()],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "typings"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", ["ostro.agent", "ostro.sandbox", "ostro.tools", "ostro.cli.main"])
def test_importing_a_room_loads_no_heavy_library(room: str) -> None:
    heavy = ("openai", "docker", "git", "jinja2", "httpx2", "requests", "mistral_common")
    code = f"import sys, {room}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "typings")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def packaging() -> tuple[list[str], dict[str, list[str]]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    setuptools = project["tool"]["setuptools"]
    return setuptools["packages"], setuptools["package-data"]


def test_packages_of_the_distribution_are_all_the_folders_with_code() -> None:
    folders = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    names = {".".join(("ostro", *folder.relative_to(ROOT).parts)) for folder in folders}
    packages, _ = packaging()
    assert names <= set(packages)


def test_data_files_of_the_rooms_are_all_in_the_distribution() -> None:
    packages, patterns = packaging()
    left_out: list[str] = []
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()):
        if path.suffix in (".py", ".pyc"):
            continue
        name = ".".join(("ostro", *path.parent.relative_to(ROOT).parts))
        fits = any(path.match(pattern) for pattern in patterns["*"] + patterns.get(name, []))
        if name not in packages or not fits:
            left_out.append(str(path.relative_to(ROOT)))
    nested = [
        f"{name.removeprefix('ostro.').replace('.', '/')}/{pattern}"
        for name, of_package in patterns.items()
        for pattern in of_package
        if "/" in pattern
    ]
    assert [file for file in left_out if not any(Path(file).match(pattern) for pattern in nested)] == []


def may_start_processes() -> set[str]:
    """The modules that the linter allows to (pyproject.toml names the program of each)."""
    ignores = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["per-file-ignores"]
    return {name for name, rules in ignores.items() if "TID251" in rules and not name.endswith("**")}


def starts_git(tree: ast.AST) -> bool:
    """Whether code holds a command line of git: a list or tuple that begins with "git", or a text that does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple) and node.elts:
            first = node.elts[0]
            program = first.value if isinstance(first, ast.Constant) else ""
            if isinstance(program, str) and Path(program).name == "git":
                return True
        if isinstance(node, ast.Call):
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if any(isinstance(text, str) and text.split()[:1] == ["git"] for text in texts):
                return True
    return False


def imported(tree: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


STARTERS = {"subprocess", "pty", "multiprocessing", "asyncio.subprocess"}


def becomes_another(tree: ast.AST) -> bool:
    """Whether code calls one of the functions of `os` that start a program or become one."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [ast.unparse(call) for call in calls if isinstance(call, ast.Attribute)]
    return any(name.startswith(("os.exec", "os.spawn", "os.posix_spawn", "os.system", "os.popen")) for name in names)


def test_processes_are_started_only_by_modules_that_the_linter_names_and_git_by_one_of_them() -> None:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "bundled" not in path.parts]
    trees = {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in files}
    starters = {name for name, tree in trees.items() if imported(tree) & STARTERS or becomes_another(tree)}
    of_git_python = {name for name, tree in trees.items() if {part.split(".")[0] for part in imported(tree)} & {"git"}}

    assert starters | of_git_python == may_start_processes()
    assert {name for name in starters if starts_git(trees[name])} == {"sandbox/git_process.py"}
    assert of_git_python == {"sandbox/clone.py"}


@pytest.mark.parametrize(
    "code", ["import subprocess", "from subprocess import run", "import git", "import os\nos.execvp('git', [])",
             "from os import system", "import os\nos.popen('git status')"]
)  # fmt: skip
def test_linter_when_another_module_starts_a_process_then_it_complains(code: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--select=TID251", "--stdin-filename=agent/other.py", "-"]
    done = subprocess.run(command, cwd=ROOT, input=code.encode(), capture_output=True, check=False)
    assert b"TID251" in done.stdout, done.stdout + done.stderr
