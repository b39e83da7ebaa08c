"""Tasks as a folder that people edit and git compares: the task repository of swebench 5 (its task/repo.py).

    sweb.yaml                 names of the data sets that the repository publishes, and their splits
    tasks/ID/task.yaml        the short columns; ours adds the block environment_setup
    tasks/ID/tests.json       FAIL_TO_PASS and PASS_TO_PASS
    tasks/ID/problem_statement.md, hints.md, gold.patch, test.patch, eval.sh

Texts are kept byte by byte. Not written is the Dockerfile that swebench builds its images from: where a row has an
environment_setup, that block is its recipe. Needs PyYAML (extra `ostro[datasets]`).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ostro.benchmarks.instance import Instance, InstanceError
from ostro.benchmarks.row_text import json_of, needs_extra, text_of
from ostro.benchmarks.store import write_text

TASKS = "tasks"
CONFIG = "sweb.yaml"
TASK = "task.yaml"
TESTS = "tests.json"
SPLIT = "test"

FILES = {
    "problem_statement": "problem_statement.md",
    "patch": "gold.patch",
    "test_patch": "test.patch",
    "eval_script": "eval.sh",
}
"""Columns that are files of their own, and always there."""

OPTIONAL_FILES = {"hints_text": "hints.md"}
"""Columns whose file is there only where they hold something."""

TEST_LISTS = ("FAIL_TO_PASS", "PASS_TO_PASS")


def read_tasks(repository: Path) -> Iterator[tuple[Path, dict[str, JsonValue]]]:
    """Yield the folder and the row of each task, in the order of the names.

    Raises:
        InstanceError: a file of a task is missing or not what it should be; PyYAML is not installed.
    """
    for folder in sorted(one.parent for one in (repository / TASKS).glob(f"*/{TASK}")):
        yield folder, _read(folder)


def write_task(instance: Instance, repository: Path) -> Path:
    """Add a task to a repository, which is made where there is none; return the task's folder.

    Raises:
        InstanceError: the repository has a task of that name; PyYAML is not installed.
        StorageError: a file cannot be written.
    """
    folder = repository / TASKS / instance.instance_id
    if folder.exists():
        raise InstanceError(f"{folder} is there already", mend="Choose another --id, or remove that task.")
    row: dict[str, Any] = instance.model_dump(mode="json", by_alias=True, exclude_none=True)
    files = {name: str(row.pop(column)) for column, name in FILES.items()}
    files |= {name: text for column, name in OPTIONAL_FILES.items() if (text := str(row.pop(column)))}
    tests = {name: row.pop(name) for name in TEST_LISTS}
    published = _published(repository)
    files[TESTS] = json.dumps(tests, indent=2) + "\n"
    files[TASK] = _yaml_text({**row, "split": SPLIT, "datasets": published}, f"{folder}: a task repository")
    for file in sorted(files, key=lambda one: one == TASK):  # the file that makes the folder a task comes last
        write_text(folder / file, files[file])
    return folder


def _published(repository: Path) -> list[str]:
    """Return the data sets that a repository publishes; a new one publishes one, of its own name."""
    config = repository / CONFIG
    if not config.exists():
        write_text(config, _yaml_text({"datasets": [repository.resolve().name], "splits": [SPLIT]}, str(config)))
    named: list[object] | dict[str, object] | None = _mapping(config).get("datasets")
    return [str(name) for name in named or ()]


def _read(folder: Path) -> dict[str, JsonValue]:
    row = _mapping(folder / TASK)
    if row.setdefault("instance_id", folder.name) != folder.name:
        raise InstanceError(f"{folder / TASK}: instance_id is {row['instance_id']!r}, its folder {folder.name!r}")
    for column, name in {**FILES, **OPTIONAL_FILES}.items():
        if (folder / name).is_file():
            row[column] = (folder / name).read_bytes().decode("utf-8", "surrogateescape")
    tests = json_of(text_of(folder / TESTS), str(folder / TESTS))
    if not isinstance(tests, dict):
        raise InstanceError(f"{folder / TESTS}: not an object with {' and '.join(TEST_LISTS)}")
    return {**row, **tests}


def _mapping(path: Path) -> dict[str, Any]:
    yaml = _yaml(f"{path}: a task repository")
    try:
        loaded: Any = yaml.safe_load(text_of(path))
    except yaml.YAMLError as error:
        raise InstanceError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(loaded, dict):
        raise InstanceError(f"{path}: not a mapping")
    return {**loaded}


def _yaml_text(data: dict[str, Any], what: str) -> str:
    """Return YAML in which a text of several lines stands as such lines, wherever YAML can hold it so."""
    yaml = _yaml(what)

    class Dumper(yaml.SafeDumper):  # type: ignore[name-defined,misc]
        pass

    def text(dumper: Any, value: str) -> Any:
        strange = any(character in value for character in "\x85\u2028\u2029")  # YAML reads a line feed in their place
        style = '"' if strange else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return str(yaml.dump(data, Dumper=Dumper, sort_keys=True, allow_unicode=True, default_flow_style=False))


def _yaml(what: str) -> Any:
    try:
        return importlib.import_module("yaml")
    except ImportError as error:
        raise needs_extra(what) from error
