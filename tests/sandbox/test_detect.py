"""What a repository's files say about its language, image, set-up and tests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostro.sandbox.detect import (
    ImageChoice,
    Tree,
    detect_image,
    detect_language,
    detect_setup,
    detect_test,
    is_read,
    make_targets,
    packages_of,
    strip_json_comments,
)
from ostro.sandbox.requirements import PYTHON_VERSIONS, allows, python_version


def tree(**files: str) -> Tree:
    """A tree of the given files; in a keyword `__` stands for a slash and `_dot_` for a dot."""
    return of({name.replace("__", "/").replace("_dot_", "."): text for name, text in files.items()})


def of(files: dict[str, str]) -> Tree:
    return Tree(frozenset(files), {name: text for name, text in files.items() if is_read(name)})


@pytest.mark.parametrize(
    ("files", "language"),
    [
        ({"pyproject.toml": "", "a.py": "", "package.json": "{}"}, "python"),
        ({"package.json": "{}", "setup.py": "", "a.ts": "", "b.js": ""}, "javascript"),
        ({"go.mod": "", "main.go": "", "Makefile": ""}, "go"),
        ({"Cargo.toml": "", "src/main.rs": ""}, "rust"),
        ({"Makefile": "", "a.c": ""}, "make"),
        ({"a.py": "", "b.py": "", "c.js": ""}, "python"),
        ({"README.md": ""}, "unknown"),
    ],
)
def test_language_when_markers_and_sources_are_mixed_then_the_main_one(files: dict[str, str], language: str) -> None:
    assert detect_language(of(files)) == language


@pytest.mark.parametrize(
    ("files", "choice"),
    [
        (
            {".devcontainer/devcontainer.json": '{ // base\n "image": "mcr.example/py:3", /* x */ }'},
            ImageChoice("mcr.example/py:3", None, "devcontainer"),
        ),
        (
            {
                ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "../Dockerfile.dev"}}',
                "Dockerfile.dev": "FROM python:3.9 AS one\nRUN x\nfrom --platform=linux/amd64 one\n",
                "Dockerfile": "",
            },
            ImageChoice("python:3.9", "Dockerfile.dev", "devcontainer"),
        ),
        (
            {".devcontainer.json": '{"dockerFile": "ops/Dockerfile"}', "ops/Dockerfile": ""},
            ImageChoice(None, "ops/Dockerfile", "devcontainer"),
        ),
        ({"Dockerfile": "ARG V=3\nFROM python:$V\n"}, ImageChoice(None, "Dockerfile", "dockerfile")),
        (
            {"Dockerfile": "FROM a:1 AS x\nFROM b:2\nCOPY --from=x /a /b"},
            ImageChoice("b:2", "Dockerfile", "dockerfile"),
        ),
        (
            {".devcontainer.json": '{"build": {"dockerfile": "../../etc/passwd"}}', "Dockerfile": ""},
            ImageChoice(None, "Dockerfile", "dockerfile"),
        ),
        (
            {".devcontainer.json": '{"dockerComposeFile": "x.yml"}', "go.mod": ""},
            ImageChoice("golang:1.24-bookworm", None, "language"),
        ),
        ({".devcontainer.json": "{broken", "package.json": "{}"}, ImageChoice("node:22-bookworm", None, "language")),
        (
            {".devcontainer.json": '{"image": "${localEnv:IMAGE}"}', "README": ""},
            ImageChoice("buildpack-deps:bookworm", None, "language"),
        ),
        (
            {"pyproject.toml": '[project]\nname="x"\nrequires-python=">=3.8,<3.12"'},
            ImageChoice("python:3.11-bookworm", None, "language"),
        ),
    ],
)
def test_image_when_the_repository_says_which_then_that_one(files: dict[str, str], choice: ImageChoice) -> None:
    assert detect_image(of(files)) == choice


def test_image_when_configured_then_the_repository_is_not_asked() -> None:
    assert detect_image(tree(Dockerfile="FROM x"), configured="mine:1") == ImageChoice("mine:1", None, "flag")


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({"a.py": ""}, ("python -m pip install pytest",)),
        (
            {"pyproject.toml": '[project]\nname = "x"\n[project.optional-dependencies]\ntest = ["a"]\ndocs = ["b"]'},
            ("python -m pip install -e '.[test]'", "python -m pip install pytest"),
        ),
        (
            {
                "pyproject.toml": '[project]\nname = "x"\n[dependency-groups]\n'
                'dev = ["ruff>=0.5", {include-group = "t"}]\nt = ["pytest>=8", {include-group = "dev"}]'
            },
            ("python -m pip install -e .", "python -m pip install 'ruff>=0.5' 'pytest>=8' pytest"),
        ),
        (
            {"pyproject.toml": '[tool.poetry]\nname = "x"\n[tool.poetry.group.dev.dependencies]\npytest-mock = "^3"'},
            ("python -m pip install -e .", "python -m pip install pytest-mock pytest"),
        ),
        (
            {"requirements.txt": "flask", "requirements-dev.txt": "pytest", "main.py": ""},
            (
                "python -m pip install -r requirements.txt",
                "python -m pip install -r requirements-dev.txt",
                "python -m pip install pytest",
            ),
        ),
        ({"setup.py": ""}, ("python -m pip install -e .", "python -m pip install pytest")),
        (
            {"pyproject.toml": '[project]\nname = "x"', "uv.lock": ""},
            (
                "python -m pip install uv",
                "uv sync --active --frozen --inexact",
                "python -m pip install pytest",
            ),
        ),
        ({"pyproject.toml": "[tool.ruff]", "a.py": ""}, ("python -m pip install pytest",)),
        (
            {"package.json": '{"dependencies": {"a": "1"}}', "package-lock.json": ""},
            ("npm ci --no-audit --no-fund",),
        ),
        ({"package.json": '{"devDependencies": {"a": "1"}}'}, ("npm install --no-audit --no-fund",)),
        (
            {"package.json": '{"dependencies": {"a": "1"}}', "yarn.lock": ""},
            ("npx --yes yarn@1 install --frozen-lockfile",),
        ),
        ({"package.json": "{}"}, ()),
        ({"go.mod": "module x"}, ("go mod download",)),
        ({"go.mod": "module x", "vendor/modules.txt": ""}, ()),
        ({"Cargo.toml": "", "Cargo.lock": ""}, ("cargo fetch --locked",)),
        ({"Makefile": "all: x\ndeps:\n\tgcc\n"}, ("make deps",)),
        ({"Makefile": "deps := x\n"}, ()),
        ({"README.md": ""}, ()),
    ],
)
def test_setup_when_the_project_is_of_a_kind_then_its_commands(
    files: dict[str, str], commands: tuple[str, ...]
) -> None:
    assert detect_setup(of(files)) == commands


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]", "a.py": ""}, "python -m pytest -q"),
        ({"setup.py": "", "tests/test_a.py": "", "tests/conftest.py": ""}, "python -m pytest -q"),
        ({"a.py": "", "test_a.py": ""}, "python -m unittest discover"),
        ({"a.py": "", "tests/__init__.py": "", "tests/test_a.py": ""}, "python -m unittest discover"),
        ({"a.py": "", "tests/test_a.py": ""}, "python -m pytest -q"),
        ({"requirements-dev.txt": "pytest==8", "test_a.py": ""}, "python -m pytest -q"),
        ({"a.py": ""}, None),
        ({"package.json": '{"scripts": {"test": "jest"}}'}, "npm test"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, None),
        ({"go.mod": "", "a_test.go": ""}, "go test ./..."),
        ({"go.mod": "", "a.go": ""}, None),
        ({"Cargo.toml": ""}, "cargo test"),
        ({"Makefile": "test: all\n\t./t\n"}, "make test"),
        ({"Makefile": "check:\n"}, "make check"),
        ({"Makefile": "all:\n"}, None),
        ({}, None),
    ],
)
def test_test_command_when_detected_then_what_the_project_uses(files: dict[str, str], command: str | None) -> None:
    assert detect_test(of(files)) == command


@pytest.mark.parametrize(
    ("files", "packages"),
    [
        ({"src/a/__init__.py": "", "src/b/__init__.py": "", "tests/__init__.py": ""}, ("a", "b")),
        ({"flask/__init__.py": "", "flask/json/__init__.py": "", "tests/__init__.py": ""}, ("flask",)),
        ({"pyproject.toml": '[tool.setuptools]\npy-modules = ["one", "not-a-name"]', "one.py": ""}, ("one",)),
        ({"src/main.c": "", "pkg/__init__.py": ""}, ("pkg",)),
        ({"a.py": ""}, ()),
    ],
)
def test_packages_when_laid_out_then_the_top_level_ones(files: dict[str, str], packages: tuple[str, ...]) -> None:
    assert packages_of(of(files)) == packages


@pytest.mark.parametrize(
    ("specifier", "version", "met"),
    [(">=3.9", "3.12", True), (">=3.13", "3.12", False), (">=3.8,<3.12", "3.12", False), ("<3.12.4", "3.12", True),
     ("~=3.9", "3.12", True), ("~=3.9.2", "3.12", False), ("==3.11.*", "3.11", True), ("!=3.12.*", "3.12", False),
     ("!=3.12.1", "3.12", True), (">3.11", "3.12", True), ("<=3.12", "3.12", True), ("<4", "3.12", True),
     ("", "3.12", True), ("nonsense", "3.12", True), (">=2.7,!=3.0.*", "3.8", True)],
)  # fmt: skip
def test_specifier_when_compared_with_a_minor_then_as_pep_440(specifier: str, version: str, *, met: bool) -> None:
    assert allows(specifier, version) == met


def test_python_version_when_pinned_or_limited_then_honoured() -> None:
    assert python_version({".python-version": "3.10.4\n"}) == "3.10"
    assert python_version({".python-version": "pypy"}) == PYTHON_VERSIONS[0]
    assert python_version({"setup.py": "setup(python_requires='>=3.6,<3.9')"}) == "3.8"
    assert python_version({"setup.cfg": "python_requires = >=3.13\n"}) == "3.13"
    assert python_version({"pyproject.toml": "not [toml"}) == PYTHON_VERSIONS[0]


def test_make_targets_when_rules_and_assignments_are_mixed_then_only_rules() -> None:
    makefile = "CC := gcc\n.PHONY: all\nall: a.o\nX = y\ntest-unit: all\n\tdo: x\n"
    assert make_targets(tree(Makefile=makefile)) == {".PHONY", "all", "test-unit"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(json_values)
def test_json_without_comments_when_stripped_then_the_same_value(value: object) -> None:
    assert json.loads(strip_json_comments(json.dumps(value, indent=1))) == value


detected_files = st.sampled_from(["pyproject.toml", "package.json", ".devcontainer.json", "Makefile", "setup.py"])


@given(st.dictionaries(detected_files, st.text(max_size=60) | json_values.map(json.dumps)))
def test_detection_when_files_hold_anything_then_no_exception(files: dict[str, str]) -> None:
    found = of(files)
    assert detect_language(found) in {"python", "javascript", "go", "rust", "make", "unknown"}
    assert detect_image(found).source in {"devcontainer", "language"}
    assert all(isinstance(command, str) for command in detect_setup(found))
    assert detect_test(found) is None or files
