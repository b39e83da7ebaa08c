"""What a repository's own files say about it: its language, how to set it up, how to test it, in which image.

Pure functions of a `Tree`: names and the content of a few small files. Nothing of the repository is run here, and
what a file says is only ever a proposal: flags and configuration win over it (sandbox/environment.py).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from ostro.sandbox.image import PUBLIC_IMAGES
from ostro.sandbox.plain_data import as_list, as_table, text_of
from ostro.sandbox.requirements import python_commands, python_version

Language = Literal["python", "javascript", "go", "rust", "make", "unknown"]

MAX_FILE_BYTES = 1024 * 1024
"""A larger file is not read for detection."""

_MARKERS: tuple[tuple[Language, tuple[str, ...]], ...] = (
    ("python", ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "tox.ini", "Pipfile")),
    ("javascript", ("package.json",)),
    ("go", ("go.mod",)),
    ("rust", ("Cargo.toml",)),
    ("make", ("Makefile", "makefile", "GNUmakefile")),
)
_SUFFIXES: Mapping[str, Language] = {
    ".py": "python",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".ts": "javascript",
    ".tsx": "javascript",
    ".go": "go",
    ".rs": "rust",
}
_READ = re.compile(
    r"(pyproject\.toml|setup\.(py|cfg)|tox\.ini|pytest\.ini|Pipfile(\.lock)?|(uv|poetry|pdm)\.lock"
    r"|requirements[^/]*\.txt|[^/]*-requirements\.txt|requirements/[^/]+\.txt|constraints[^/]*\.txt"
    r"|package(-lock)?\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|\.npmrc|go\.(mod|sum)"
    r"|Cargo\.(toml|lock)|rust-toolchain(\.toml)?|\.python-version|(GNUm|M|m)akefile"
    r"|\.devcontainer\.json|\.devcontainer/devcontainer\.json|(.*/)?Dockerfile[^/]*)"
)
_TARGET = re.compile(r"^([A-Za-z0-9_.-]+)[ \t]*:(?!=)", re.MULTILINE)
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Tree:
    """The files of one commit, as far as detection needs them.

    Attributes:
        names: every path, relative, with slashes.
        text: content of the files that `is_read` names; larger ones than `MAX_FILE_BYTES` are missing.
    """

    names: frozenset[str]
    text: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class ImageChoice:
    """Which container image a task runs in.

    Attributes:
        image: name to pull; None where the build file hides it.
        dockerfile: path in the repository of the build file that it comes from, or None. It is not built: that
            would run the repository's commands outside of any sandbox, with the engine's network.
        source: who said so: flag, devcontainer, dockerfile or the detected language.
    """

    image: str | None
    dockerfile: str | None
    source: Literal["flag", "devcontainer", "dockerfile", "language"]


def is_read(name: str) -> bool:
    """Whether detection wants the content of the file `name`."""
    return _READ.fullmatch(name) is not None


def detect_language(tree: Tree) -> Language:
    """Return the language whose project files stand at the root; between several, the one with most source files."""
    marked: list[Language] = [name for name, markers in _MARKERS if not tree.names.isdisjoint(markers)]
    written: list[Language] = [
        _SUFFIXES[suffix] for name in tree.names if (suffix := PurePosixPath(name).suffix) in _SUFFIXES
    ]
    candidates: list[Language] = [name for name in marked if name != "make"]
    if not marked:
        candidates = sorted(set(written))
    if candidates:
        return max(candidates, key=written.count)
    return "make" if marked else "unknown"


def detect_image(tree: Tree, *, configured: str | None = None) -> ImageChoice:
    """Choose the image: configured, else devcontainer.json, else Dockerfile, else the language's default.

    Of a devcontainer.json only `image` and the build file are honoured: features, mounts, run arguments and
    lifecycle commands ask for more than a sandbox gives.
    """
    if configured:
        return ImageChoice(configured, None, "flag")
    for path in (".devcontainer/devcontainer.json", ".devcontainer.json"):
        choice = _from_devcontainer(tree, path)
        if choice:
            return choice
    if "Dockerfile" in tree.names:
        return ImageChoice(base_image_of(tree.text.get("Dockerfile", "")), "Dockerfile", "dockerfile")
    language = detect_language(tree)
    if language == "python":
        return ImageChoice(f"python:{python_version(tree.text)}-bookworm", None, "language")
    return ImageChoice(PUBLIC_IMAGES.get(language, "buildpack-deps:bookworm"), None, "language")


def _from_devcontainer(tree: Tree, path: str) -> ImageChoice | None:
    settings = _json(strip_json_comments(tree.text.get(path, "")))
    image = text_of(settings.get("image"))
    if image and "${" not in image:
        return ImageChoice(image, None, "devcontainer")
    file = text_of(as_table(settings.get("build")).get("dockerfile")) or text_of(settings.get("dockerFile"))
    dockerfile = _joined(PurePosixPath(path).parent, file)
    if dockerfile not in tree.names:
        return None
    return ImageChoice(base_image_of(tree.text.get(dockerfile, "")), dockerfile, "devcontainer")


def base_image_of(dockerfile: str) -> str | None:
    """Return the image that the last stage of a Dockerfile starts from, None where a variable or `scratch` hides it."""
    stages: dict[str, str] = {}
    last = ""
    for match in _FROM.finditer(dockerfile):
        last = stages.get(match.group(1).lower(), match.group(1))
        if match.group(2):
            stages[match.group(2).lower()] = last
    return last if last and "$" not in last and last != "scratch" else None


def _joined(folder: PurePosixPath, relative: str) -> str:
    """Resolve `..` by name; a path that leaves the repository becomes one that it does not hold."""
    parts: list[str] = []
    for part in (folder / relative).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return ""
    return "/".join(parts)


def strip_json_comments(text: str) -> str:
    """Turn JSON with comments and trailing commas into JSON; strings keep what looks like either."""
    pattern = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
    bare = pattern.sub(lambda match: match.group(1) or " ", text)
    trailing = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
    return trailing.sub(lambda match: match.group(1) or "", bare)


def detect_setup(tree: Tree) -> tuple[str, ...]:
    """Return the commands that make the repository ready for its tests: pip, uv, npm, go, cargo, make.

    They run in the workspace; for Python a virtual environment is active already (sandbox/environment.py).
    """
    language = detect_language(tree)
    if language == "python":
        return python_commands(tree.names, tree.text)
    if language == "javascript":
        return _javascript_commands(tree)
    if language == "go":
        return () if "vendor/modules.txt" in tree.names else ("go mod download",)
    if language == "rust":
        return ("cargo fetch --locked" if "Cargo.lock" in tree.names else "cargo fetch",)
    if language == "make":
        found = next((name for name in ("deps", "setup", "bootstrap") if name in make_targets(tree)), None)
        return (f"make {found}",) if found else ()
    return ()


def _javascript_commands(tree: Tree) -> tuple[str, ...]:
    package = _package(tree)
    if not any(package.get(key) for key in ("dependencies", "devDependencies", "workspaces")):
        return ()
    if "pnpm-lock.yaml" in tree.names:
        return ("npx --yes pnpm install --frozen-lockfile",)
    if "yarn.lock" in tree.names:
        return ("npx --yes yarn@1 install --frozen-lockfile",)
    locked = "package-lock.json" in tree.names or "npm-shrinkwrap.json" in tree.names
    return ("npm ci --no-audit --no-fund" if locked else "npm install --no-audit --no-fund",)


def detect_test(tree: Tree) -> str | None:
    """Return the command that runs the repository's tests, or None when nothing says how."""
    language = detect_language(tree)
    if language == "python" and (command := _python_test(tree)):
        return command
    if language == "javascript" and (command := _npm_test(tree)):
        return command
    if language == "go" and any(name.endswith("_test.go") for name in tree.names):
        return "go test ./..."
    if language == "rust":
        return "cargo test"
    targets = make_targets(tree)
    return next((f"make {target}" for target in ("test", "tests", "check") if target in targets), None)


def _python_test(tree: Tree) -> str | None:
    if uses_pytest(tree):
        return "python -m pytest -q"
    tests = [name for name in tree.names if re.search(r"(^|/)(test_[^/]*|[^/]*_test|tests)\.py$", name)]
    if not tests:
        return None
    # unittest's discovery wants an importable folder; what it cannot find pytest does.
    flat = all(PurePosixPath(name).parent.as_posix() in {".", "tests", "test"} for name in tests)
    importable = all(f"{folder}/__init__.py" in tree.names for folder in ("tests", "test") if _has(tree, folder))
    by_unittest = flat and importable and all(PurePosixPath(name).name.startswith("test") for name in tests)
    return "python -m unittest discover" if by_unittest and not _declares(tree, "pytest") else "python -m pytest -q"


def uses_pytest(tree: Tree) -> bool:
    """Whether the repository configures pytest or names it as a dependency."""
    sections = (("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]"))
    configured = any(section in tree.text.get(name, "") for name, section in sections)
    has_file = bool({"pytest.ini", "conftest.py", "tests/conftest.py", "test/conftest.py"} & tree.names)
    return configured or has_file or _declares(tree, "pytest")


def _declares(tree: Tree, word: str) -> bool:
    files = (text for name, text in tree.text.items() if not name.endswith((".lock", "akefile", ".json")))
    return any(re.search(rf"\b{word}\b", text) for text in files)


def _has(tree: Tree, folder: str) -> bool:
    return any(name.startswith(f"{folder}/") for name in tree.names)


def _npm_test(tree: Tree) -> str | None:
    script = text_of(as_table(_package(tree).get("scripts")).get("test"))
    # What `npm init` writes is a script that only says that there is none.
    return "npm test" if script and "no test specified" not in script else None


def _package(tree: Tree) -> Mapping[str, object]:
    return _json(tree.text.get("package.json", ""))


def _json(text: str) -> Mapping[str, object]:
    try:
        return as_table(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def make_targets(tree: Tree) -> frozenset[str]:
    """Return the names of the targets in the Makefile at the root."""
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if name in tree.text:
            return frozenset(_TARGET.findall(tree.text[name]))
    return frozenset()


def packages_of(tree: Tree) -> tuple[str, ...]:
    """Return the top-level Python packages and modules that the project ships, as its layout shows them."""
    roots = ("src/", "") if _has(tree, "src") else ("",)
    for root in roots:
        folders = {match.group(1) for name in tree.names if (match := re.fullmatch(rf"{root}(\w+)/__init__\.py", name))}
        kept = sorted(folders - {"tests", "test", "docs", "doc", "examples", "scripts", "benchmarks", "tools"})
        if kept:
            return tuple(kept)
    return tuple(_py_modules(tree))


def _py_modules(tree: Tree) -> list[str]:
    try:
        project = tomllib.loads(tree.text.get("pyproject.toml", ""))
    except tomllib.TOMLDecodeError:
        return []
    setuptools = as_table(as_table(project.get("tool")).get("setuptools"))
    return [name for item in as_list(setuptools.get("py-modules")) if (name := text_of(item)).isidentifier()]
