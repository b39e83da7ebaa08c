"""The house: imports run downward only, and importing a room does nothing."""

from __future__ import annotations

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
    nested = [f"cli/bundled/{pattern}" for pattern in patterns["ostro.cli.bundled"]]
    assert [file for file in left_out if not any(Path(file).match(pattern) for pattern in nested)] == []
