"""What a Python project asks to have installed before its tests can run, as pip or uv commands.

Pure; used by sandbox/detect.py. Sources: PEP 621 (project table), PEP 735 (dependency groups), PEP 440 (versions).
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Collection, Iterator, Mapping

from ostro.sandbox.plain_data import as_list, as_table, text_of

_TEST_GROUPS = ("test", "tests", "testing", "dev", "develop", "development")
_TEST_FILES = (
    "requirements-dev.txt",
    "requirements-test.txt",
    "requirements-tests.txt",
    "requirements_dev.txt",
    "requirements_test.txt",
    "dev-requirements.txt",
    "test-requirements.txt",
    "requirements/dev.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements/testing.txt",
)
PYTHON_VERSIONS = ("3.12", "3.13", "3.11", "3.10", "3.9", "3.8", "3.14")
"""In order of preference: what most projects of today are tested with first."""

PIP = "python -m pip install"


def python_commands(names: Collection[str], text: Mapping[str, str]) -> tuple[str, ...]:
    """Return the commands that install the project, its test dependencies and pytest into the active environment."""
    project = _toml(text.get("pyproject.toml", ""))
    if "uv.lock" in names and "project" in project:
        # --inexact: uv itself and pip stay in the environment.
        return (f"{PIP} uv", "uv sync --active --frozen --inexact", f"{PIP} pytest")
    commands = [f"{PIP} -r {shlex.quote(name)}" for name in _requirement_files(names)]
    if is_installable(names, text):
        extras = [name for name in _TEST_GROUPS if name in _optional(project)]
        commands.append(f"{PIP} -e {shlex.quote('.[' + ','.join(extras) + ']') if extras else '.'}")
    grouped = [*_group_requirements(project), *_poetry_requirements(project)]
    return (*commands, f"{PIP} {shlex.join(dict.fromkeys([*grouped, 'pytest']))}")


def is_installable(names: Collection[str], text: Mapping[str, str]) -> bool:
    """Whether `pip install .` has something to work with: a setup.py, or a pyproject that names a package."""
    project = _toml(text.get("pyproject.toml", ""))
    described = any(key in project for key in ("project", "build-system"))
    return "setup.py" in names or described or "poetry" in as_table(project.get("tool"))


def _requirement_files(names: Collection[str]) -> list[str]:
    main = [name for name in ("requirements.txt", "requirements/base.txt") if name in names][:1]
    return main + [name for name in _TEST_FILES if name in names]


def _optional(project: Mapping[str, object]) -> Mapping[str, object]:
    return as_table(as_table(project.get("project")).get("optional-dependencies"))


def _group_requirements(project: Mapping[str, object]) -> list[str]:
    groups = as_table(project.get("dependency-groups"))
    chosen = [name for name in _TEST_GROUPS if name in groups]
    return [requirement for name in chosen for requirement in _members(groups, name, set())]


def _members(groups: Mapping[str, object], name: str, seen: set[str]) -> Iterator[str]:
    if name in seen:
        return
    seen.add(name)
    for item in as_list(groups.get(name)):
        if isinstance(item, str):
            yield item
        elif included := text_of(as_table(item).get("include-group")):
            yield from _members(groups, included, seen)


def _poetry_requirements(project: Mapping[str, object]) -> list[str]:
    """Names without versions: Poetry's `^1.2` is not what pip reads, and its lock is not ours to solve."""
    poetry = as_table(as_table(project.get("tool")).get("poetry"))
    groups = as_table(poetry.get("group"))
    tables = [as_table(poetry.get("dev-dependencies"))]
    tables += [as_table(as_table(groups.get(name)).get("dependencies")) for name in _TEST_GROUPS]
    return [name for table in tables for name in table if name != "python"]


def python_version(text: Mapping[str, str]) -> str:
    """Return the Python version to run the project with, as `major.minor`: pinned, or the best that it allows."""
    wanted = wanted_version("python", text)
    return next((version for version in PYTHON_VERSIONS if allows(wanted, version)), PYTHON_VERSIONS[0])


def wanted_version(language: str, text: Mapping[str, str]) -> str:
    """Return the versions of interpreter or tool chain that a project asks for, as `allows` reads them; "" for any."""
    if language == "go":
        found = re.search(r"^go\s+(\d+\.\d+)", text.get("go.mod", ""), re.MULTILINE)
        return f">={found[1]}" if found else ""
    if language == "javascript":
        engines = re.search(r'"engines"\s*:\s*\{[^{}]*"node"\s*:\s*"([^"]*)"', text.get("package.json", ""))
        return engines[1] if engines else ""
    return _wanted_python(text) if language == "python" else ""


def _wanted_python(text: Mapping[str, str]) -> str:
    pinned = re.match(r"\s*(\d+\.\d+)", text.get(".python-version", ""))
    if pinned and pinned.group(1) in PYTHON_VERSIONS:
        return f"=={pinned.group(1)}.*"
    project = _toml(text.get("pyproject.toml", ""))
    wanted = text_of(as_table(project.get("project")).get("requires-python"))
    if wanted:
        return wanted
    found = re.search(r"python_requires\s*=\s*[\"']?([^\"'\n]+)", text.get("setup.cfg", "") + text.get("setup.py", ""))
    return found.group(1).strip() if found else ""


def allows(specifier: str, version: str) -> bool:
    """Whether a `requires-python` such as ">=3.9,<3.13,!=3.10.*" takes some release of `major.minor`.

    Clauses that cannot be read are taken as met.
    """
    return all(_meets(clause.strip(), _numbers(version)) for clause in specifier.split(","))


def _meets(clause: str, have: tuple[int, ...]) -> bool:
    match = re.fullmatch(r"(>=|<=|==|!=|~=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?", clause)
    if match is None:
        return True
    operator, wanted, wildcard = match.group(1), _numbers(match.group(2)), match.group(3)
    short = wanted[:2]
    prefix = have[: len(short)]
    by_operator = {
        ">=": have >= short,
        ">": have > short or (have == short and len(wanted) > 2),
        "<=": prefix <= short,
        "<": have < short or (have == short and len(wanted) > 2 and any(wanted[2:])),
        "==": prefix == short,
        "!=": prefix != short or (len(wanted) > 2 or not wildcard),
        "~=": have >= short and (have[0] == short[0] if len(wanted) == 2 else prefix == short),
    }
    return by_operator[operator]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _toml(text: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
