"""A task with a known answer: one row of SWE-bench's format, with the environment that its tests run in.

Everything else in this room takes an `Instance`; benchmarks/instance_files.py reads them from files, folders and hubs.
Three kinds of row can be run: with our own `environment_setup` block, with the columns of swebench 5 (`eval_script`,
`image`, `log_parser`, `eval_type`), and the plain rows of swebench 4, whose test command is the project's
(benchmarks/official.py).
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from ostro.agent.errors import UsageError
from ostro.benchmarks.parsers import PARSERS, canonical_name
from ostro.benchmarks.verdict import EvalType


class InstanceError(UsageError):
    """A row, or a file of rows, cannot be used; the message names the file and the key."""


def _names(value: JsonValue) -> JsonValue:
    """Accept the list of names that SWE-bench's own rows hold as a JSON text."""
    return json.loads(value) if isinstance(value, str) else value


def _known_parser(name: str) -> str:
    if name and canonical_name(name) not in PARSERS:
        raise ValueError(f"no parser {name!r}; there are {', '.join(sorted(PARSERS))}")
    return canonical_name(name)


TestNames = Annotated[tuple[str, ...], BeforeValidator(_names)]
LogParser = Annotated[str, AfterValidator(_known_parser)]
"""A key of `PARSERS`; swebench's names are turned into ours."""


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


class GitSource(_Row):
    """A base tree that is a commit of a repository on this machine; its history stays out of the environment.

    Attributes:
        repository: path of the repository; a relative one starts at the folder of the file that holds the row.
        commit: full id of the base commit.
    """

    type: Literal["git"]
    repository: str = Field(min_length=1)
    commit: str = Field(pattern=r"^[0-9a-f]{40,64}$")


Source = FilesSource | SdistSource | GitSource


class EnvironmentSetup(_Row):
    """How to make the world that the tests run in.

    Attributes:
        python: interpreter version, `3.11`.
        pip: pinned requirements, installed as wheels.
        install: shell commands, run in the tree once the pins are there.
        env: variables of every command.
        test_cmd: runs in the tree, after the test patch.
        log_parser: key of `PARSERS`: which function reads its output.
        needs: programs that must be on PATH beside Python, `node` for one; without them the row is not runnable here.
    """

    python: str = Field(default="3.11", pattern=r"^3\.\d+$")
    source: Source = Field(discriminator="type")
    pip: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    test_cmd: str = Field(min_length=1)
    log_parser: LogParser = "pytest"
    needs: tuple[str, ...] = ()


class Instance(_Row):
    """One row: the issue that the agent sees, and the answer that it must never see.

    Attributes:
        patch: the fix by the project itself (gold).
        test_patch: the tests that show it; applied after the agent's work.
        fail_to_pass: tests that fail on the base and must pass.
        pass_to_pass: tests that pass on the base and must go on passing.
        setup: the `environment_setup` block; None in SWE-bench's own rows.
        image: container image of the row (swebench 5); "" for the official name.
        eval_script: what swebench 5 runs: puts the test files back, applies the test patch, tests between two markers.
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
    image: str = ""
    log_parser: LogParser = ""
    eval_type: EvalType = "pass_and_fail"
    eval_script: str = ""
    setup: EnvironmentSetup | None = Field(default=None, alias="environment_setup")

    @model_validator(mode="before")
    @classmethod
    def _holds_all_its_files(cls, row: JsonValue) -> JsonValue:
        """Refuse a row of swebench 5 whose tests need pictures that no text patch can carry: they would fail."""
        assets = row.get("image_assets") if isinstance(row, dict) else None
        found: JsonValue = json.loads(assets) if isinstance(assets, str) and assets else assets
        if isinstance(found, dict) and (found.get("patch") or found.get("test_patch")):
            raise ValueError("image_assets names binary files of the patches; they cannot be staged here")
        return row

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
