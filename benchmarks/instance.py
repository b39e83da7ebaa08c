"""A task with a known answer: one row of SWE-bench's format, with the environment that its tests run in.

Rows come from a JSON file (one row or a list), a JSONL file, or a folder of both. Everything else in this room
takes an `Instance`; this module touches nothing but the named files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from ostro.agent.errors import UsageError

MAX_ROW_FILE_BYTES = 64 * 1024 * 1024


class InstanceError(UsageError):
    """A row, or a file of rows, cannot be used; the message names the file and the key."""


def _names(value: JsonValue) -> JsonValue:
    """Accept the list of names that SWE-bench's own rows hold as a JSON text."""
    return json.loads(value) if isinstance(value, str) else value


TestNames = Annotated[tuple[str, ...], BeforeValidator(_names)]
LogParser = Literal["pytest", "django", "sympy", "unittest"]


class _Row(BaseModel):
    """Rows carry keys of their own makers (validation, datasets); those are left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class FilesSource(_Row):
    """A base tree that stands in the row itself: path to text."""

    type: Literal["files"]
    files: dict[str, str]


class SdistSource(_Row):
    """A base tree that is a release on the Python package index, pinned by its hash.

    Attributes:
        requirement: `name==version`.
        filename: name of the archive, a .tar.gz.
        sha256: hex digest of the archive.
    """

    type: Literal["sdist"]
    requirement: str = Field(pattern=r"^[A-Za-z0-9._-]+==[^\s;]+$")
    filename: str = Field(pattern=r"^[A-Za-z0-9._+-]+\.tar\.gz$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class EnvironmentSetup(_Row):
    """How to make the world that the tests run in.

    Attributes:
        python: interpreter version, `3.11`.
        pip: pinned requirements, installed as wheels.
        install: shell commands, run in the tree once the pins are there.
        env: variables of every command.
        test_cmd: runs in the tree, after the test patch.
        log_parser: name of the function in benchmarks/parsers.py that reads its output.
    """

    python: str = Field(default="3.11", pattern=r"^3\.\d+$")
    source: FilesSource | SdistSource = Field(discriminator="type")
    pip: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    test_cmd: str = Field(min_length=1)
    log_parser: LogParser = "pytest"


class Instance(_Row):
    """One row: the issue that the agent sees, and the answer that it must never see.

    Attributes:
        patch: the fix by the project itself (gold).
        test_patch: the tests that show it; applied after the agent's work.
        fail_to_pass: tests that fail on the base and must pass.
        pass_to_pass: tests that pass on the base and must go on passing.
        setup: the `environment_setup` block; None in plain SWE-bench rows.
    """

    instance_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    repo: str
    base_commit: str = ""
    version: str = ""
    problem_statement: str
    hints_text: str = ""
    patch: str = ""
    test_patch: str = ""
    fail_to_pass: TestNames = Field(default=(), alias="FAIL_TO_PASS")
    pass_to_pass: TestNames = Field(default=(), alias="PASS_TO_PASS")
    environment_setup_commit: str = ""
    setup: EnvironmentSetup | None = Field(default=None, alias="environment_setup")

    @model_validator(mode="after")
    def _tests_are_named(self) -> Self:
        if self.patch and not self.fail_to_pass:
            raise ValueError("FAIL_TO_PASS names no test, so nothing could show that the patch works")
        return self

    @property
    def environment(self) -> EnvironmentSetup:
        """The environment block.

        Raises:
            InstanceError: the row has none.
        """
        if self.setup is None:
            raise InstanceError(
                f"{self.instance_id}: the row has no environment_setup",
                mend="Use a row with that block, or the official image of the instance.",
            )
        return self.setup


def read_instances(path: Path) -> list[Instance]:
    """Read the rows of a .json or .jsonl file, or of all such files of a folder, in the order of their names.

    Raises:
        InstanceError: nothing is there, a file is not JSON, a row is not a row, or an id comes twice.
    """
    if not path.exists():
        raise InstanceError(f"{path}: no such file or folder", mend="Name a .json or .jsonl file, or a folder of them.")
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in {".json", ".jsonl"})
    instances = [instance for file in files for instance in _read_file(file)]
    if not instances:
        raise InstanceError(f"{path}: holds no rows", mend="Name a .json or .jsonl file, or a folder of them.")
    seen: set[str] = set()
    for instance in instances:
        if instance.instance_id in seen:
            raise InstanceError(f"{path}: the instance {instance.instance_id} comes twice", mend="Remove one of them.")
        seen.add(instance.instance_id)
    return instances


def _read_file(path: Path) -> Iterator[Instance]:
    if path.stat().st_size > MAX_ROW_FILE_BYTES:
        raise InstanceError(f"{path}: larger than {MAX_ROW_FILE_BYTES} bytes", mend="Split the file.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InstanceError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield _row(line, f"{path}:{number}")
        return
    document = _json(text, str(path))
    rows = document if isinstance(document, list) else [document]
    for number, row in enumerate(rows, start=1):
        yield _validated(row, f"{path} (row {number})" if len(rows) > 1 else str(path))


def _row(line: str, where: str) -> Instance:
    return _validated(_json(line, where), where)


def _json(text: str, where: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except json.JSONDecodeError as error:
        raise InstanceError(f"{where}: not JSON ({error.msg}, line {error.lineno} column {error.colno})") from error
    return value


def _validated(row: JsonValue, where: str) -> Instance:
    try:
        return Instance.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "row"
        raise InstanceError(f"{where}: {key}: {first['msg']}", mend="Compare with SWE-bench's row format.") from error
